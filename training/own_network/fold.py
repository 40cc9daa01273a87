"""From records of a user's network to layers of an integer network.

Every tensor of the user's network that a layer reads is a stream, signs or bytes here. What lies
between two layers is one output stage: batch normalisations, activation and addition become
thresholds, a multiplication and a shift. Signs are taken from the sums of the convolution below
where nothing else reads them, else from a stream. A tensor that is needed in two ways behind the
same convolution has that convolution twice.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import (
    IMAGE_WEIGHT_BITS,
    SATURATION,
    AveragePoolStream,
    Convolution,
    Layer,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizeStream,
    Requantize,
)
from bitat_deploy.training.folding import (
    CodeSource,
    StreamSource,
    fold_affine,
    fold_classifier,
    fold_requantize,
    fold_slope,
    fold_thresholds,
    stream_thresholds,
)
from bitat_deploy.training.networks import Classifier
from bitat_deploy.training.own_network.form import (
    Affine,
    Form,
    Reals,
    form_of,
    identity,
    piecewise,
    rises,
    threshold_below,
)
from bitat_deploy.training.own_network.graph import IMAGE, ModelGraph, Operation
from bitat_deploy.training.own_network.operands import (
    Operands,
    byte_operands,
    image_operands,
    sign_operands,
)

_INT16 = 2**15 - 1
_MARGIN = 1.25  # of a stream's range over what the calibration images showed


def fold_graph(graph: ModelGraph) -> tuple[Layer, ...]:
    """The integer layers of a user's network whose weights are binarized.

    Raises UnsupportedOperatorError naming a module that has no place in one.
    """
    draft = _Folder(graph, 1.0)
    draft.run()
    peak = max(draft.peaks, default=1.0)
    folder = _Folder(graph, _INT16 / (_MARGIN * max(peak, 1e-6)))
    folder.run()
    return tuple(folder.layers)


class _Folder:
    """Collects layers; ``peaks`` are the magnitudes of what became a stream."""

    def __init__(self, graph: ModelGraph, scale: float) -> None:
        self.layers: list[Layer] = []
        self.peaks: list[float] = []
        self._graph = graph
        self._scale = scale
        self._operations = {operation.name: operation for operation in graph.operations}
        self._users = Counter(name for entry in graph.operations for name in entry.inputs)
        self._streams: dict[str, StreamSource] = {}
        self._names: set[str] = set()

    def run(self) -> None:
        """All layers that the logits need."""
        last = self._graph.operations[-1]
        pooling = self._operations.get(last.inputs[0])
        if last.kind != "dense" or pooling is None or pooling.kind != "global_average":
            raise UnsupportedOperatorError(
                f"the model ends with '{last.name}'; a network of the device ends with a global "
                "average and one Linear"
            )
        below = pooling.inputs[0]
        source = self._real(below, f"{pooling.name}.bytes")
        weight, bias = last.tensors["weight"], last.tensors["bias"]
        classifier = Classifier(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            classifier.weight.copy_(weight)
            classifier.bias.copy_(bias)
        positions = int(np.prod(self._operations[below].shape[1:]))
        summed, dense = fold_classifier(classifier, source, positions, self._scale)
        name = self._name(pooling.name)
        self.layers += [
            replace(summed, name=name),
            replace(dense, name=self._name(last.name), input=name),
        ]

    def _form(self, name: str, reader: str) -> Form:
        form = form_of(name, self._operations)
        if form is None:
            raise UnsupportedOperatorError(
                f"'{reader}' reads the image; on the device only the first convolution does, "
                "without anything in front of it"
            )
        return form

    def _name(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._names:
            count += 1
            name = f"{wanted}.{count}"
        self._names.add(name)
        return name

    # Streams

    def _stream(self, name: str, reader: str) -> StreamSource:
        """An operation's value in fixed point."""
        if name not in self._streams:
            form = self._form(name, reader)
            source = self._stream_of(form, name)
            # What an activation reads is saturated too.
            written = form.between[-2:] if form.activation is not None else (name,)
            self.peaks += [self._operations[part].peak for part in written]
            self._streams[name] = source
        return self._streams[name]

    def _stream_of(self, form: Form, name: str) -> StreamSource:
        if form.on_sums:
            return self._convolution_to_stream(form, name, None)
        if form.anchor.kind == "add" and form.affine.is_identity:
            return self._sum_to_stream(form, name)
        if form.anchor.kind == "average_pool" and len(form.between) == 1:
            below = self._stream(form.anchor.inputs[0], name)
            layer = AveragePoolStream(self._name(name), below.name)
            self.layers.append(layer)
            return StreamSource(layer.name)
        if form.anchor.kind == "max_pool":
            raise UnsupportedOperatorError(
                f"'{form.anchor.name}' is a MaxPool2d whose output is read by more than 1-bit "
                "convolutions; the device pools signs only"
            )
        raise UnsupportedOperatorError(
            f"what '{name}' gives is read by more than 1-bit convolutions, and there is no "
            f"convolution between it and '{form.anchor.name}'; the device has no operator for that"
        )

    def _convolution_to_stream(self, form: Form, name: str, shortcut: str | None) -> StreamSource:
        """What a convolution's sums become, plus the stream ``shortcut``."""
        operands = self._operands(form.anchor)
        weight, affine = operands.weight, form.affine.moved(operands.offset)
        slope, low, high = piecewise(form.activation)
        activation = None if slope is None else fold_slope(slope)
        least = low if slope is None else -np.inf
        if shortcut is not None and np.isfinite([least, high]).any():
            assert form.activation is not None
            raise UnsupportedOperatorError(
                f"'{form.activation.name}' clips a sum of two branches, which is read by more than "
                "1-bit convolutions; use ReLU, LeakyReLU or PReLU there"
            )
        stage: Requantize
        if form.anchor.kind == "binary" and not np.isfinite([least, high]).any():
            stage = fold_requantize(
                affine.as_normalization(),
                weight.unit,
                np.maximum(weight.highest, -weight.lowest),
                self._scale,
                shortcut,
                activation,
            )
        else:
            gain, intercept = affine.slope_and_intercept
            reach = _INT16 if shortcut is None else 2 * _INT16
            ends = np.clip(np.rint(np.array([least, high]) * self._scale), -reach, reach)
            requantize = fold_affine(
                gain * weight.unit * self._scale,
                intercept * self._scale + (0.0 if shortcut is None else 0.5),
                (weight.lowest, weight.highest),
                (int(ends[0]), int(ends[1])),
                "int16",
                shortcut,
            )
            stage = replace(requantize, activation=activation)
        return StreamSource(self._convolution(form.anchor, operands, stage, name))

    def _sum_to_stream(self, form: Form, name: str) -> StreamSource:
        """An addition is part of the convolution that one of its sides is."""
        sides = form.anchor.inputs
        forms = [self._form(side, form.anchor.name) for side in sides]
        able = [side for side in (1, 0) if forms[side].on_sums and forms[side].activation is None]
        if not able:
            raise UnsupportedOperatorError(
                f"neither '{sides[0]}' nor '{sides[1]}', which '{form.anchor.name}' adds, is a "
                "convolution with its batch normalisation; on the device a convolution adds the "
                "other branch to its sums, so activations belong behind the addition"
            )
        # One that nothing else reads needs not be computed twice.
        side = next((side for side in able if self._single(forms[side])), able[0])
        carried = self._stream(sides[1 - side], form.anchor.name)
        summed = replace(forms[side], activation=form.activation)
        return self._convolution_to_stream(summed, name, carried.name)

    def _single(self, form: Form) -> bool:
        return all(self._users[name] == 1 for name in form.between)

    # Signs

    def _signs(self, name: str, wanted: Reals, reader: str) -> CodeSource:
        """The signs of an operation's value minus ``wanted`` [C]."""
        form = self._form(name, reader)
        anchor = form.anchor
        if anchor.kind == "max_pool":  # signs rise with values: the maximum of signs
            wanted = threshold_below(wanted, (name, anchor.name), reader, self._operations)
            inner = self._signs(anchor.inputs[0], wanted, reader)
            layer = MaxPool(self._name(f"{reader}.pooled"), inner.name, **anchor.values)
            self.layers.append(layer)
            return replace(inner, name=layer.name)
        if form.on_sums and self._single(form) and rises(form.activation):
            crossings = wanted if form.activation is None else form.activation.crossings(wanted)
            return self._sums_to_signs(form, crossings)
        # From a stream that others read too, where there is one.
        shared = [place for place in reversed(form.between) if self._users[place] > 1]
        places = [place for place in form.between if place in self._streams]
        errors = []
        for place in dict.fromkeys((*places, *shared, form.between[0], name)):
            before = len(self.layers), len(self.peaks), dict(self._streams), set(self._names)
            try:
                return self._stream_to_signs(place, name, wanted, reader)
            except UnsupportedOperatorError as error:
                errors.append(error)
                del self.layers[before[0] :], self.peaks[before[1] :]
                self._streams, self._names = before[2:]
        raise errors[0]

    def _sums_to_signs(self, form: Form, crossings: Reals) -> CodeSource:
        operands = self._operands(form.anchor)
        weight = operands.weight
        thresholds, negated = fold_thresholds(
            form.affine.moved(operands.offset).as_normalization(),
            weight.unit,
            weight.lowest,
            weight.highest,
            crossings[None, :],
        )
        turned = replace(operands, weight=replace(weight, values=weight.negated(negated)))
        stage = Quantize(thresholds, signed=True)
        return _signs_of(self._convolution(form.anchor, turned, stage, form.anchor.name))

    def _stream_to_signs(self, place: str, name: str, wanted: Reals, reader: str) -> CodeSource:
        """Signs of ``name``'s value from the stream of ``place``, which it is made of."""
        thresholds = threshold_below(wanted, (name, place), reader, self._operations)
        stream = self._stream(place, reader)
        stage = Quantize(stream_thresholds(thresholds[None, :], self._scale), signed=True)
        layer = QuantizeStream(self._name(f"{reader}.codes"), stream.name, stage)
        self.layers.append(layer)
        return _signs_of(layer.name)

    # Bytes

    def _real(self, name: str, reader: str) -> StreamSource | CodeSource:
        """A stream where there is one, else bytes: what the global average reads."""
        form = self._form(name, reader)
        if not form.on_sums and not form.affine.is_identity:
            return self._bytes(name, reader)
        return self._stream(name, reader)

    def _bytes(self, name: str, reader: str) -> CodeSource:
        """An operation's value in 8 bits, as wide as the calibration images showed."""
        form = self._form(name, reader)
        slope, low, high = piecewise(form.activation)
        signed = low < 0
        top = SATURATION[_dtype(signed)][1]
        peak = min(max(self._operations[name].peak, 1e-6), high)
        source = CodeSource("", peak / top, IMAGE_WEIGHT_BITS, signed)
        bent = slope is not None and signed  # negative values have a slope of their own
        affine = form.affine
        if form.on_sums and self._single(form) and not bent:
            operands = self._operands(form.anchor)
            weight = operands.weight
            moved = affine.moved(operands.offset)
            stage = _to_bytes(moved, weight.unit, 0.0, source, (weight.lowest, weight.highest))
            return replace(source, name=self._convolution(form.anchor, operands, stage, name))
        if bent or form.on_sums:
            stream, affine = self._stream(name, reader), identity(len(affine.gain))
        else:
            stream = self._stream(form.anchor.name, reader)
        whole = np.full(len(affine.gain), _INT16)
        unit = np.full(len(affine.gain), 1 / self._scale)  # s stands for (s + 1/2) / scale
        stage = _to_bytes(affine, unit, 0.5 / self._scale, source, (-whole - 1, whole))
        layer = QuantizeStream(self._name(f"{reader}.bytes"), stream.name, stage)
        self.layers.append(layer)
        return replace(source, name=layer.name)

    # Convolutions

    def _operands(self, operation: Operation) -> Operands:
        """What a convolution reads, with its layers, and its weights."""
        name = operation.inputs[0]
        if operation.kind == "binary":
            signs = self._signs(name, operation.array("threshold"), operation.name)
            return sign_operands(operation, signs)
        if name == IMAGE:
            return image_operands(operation, self._graph)
        return byte_operands(operation, self._bytes(name, operation.name))

    def _convolution(
        self, operation: Operation, operands: Operands, stage: OutputStage, name: str
    ) -> str:
        """Add a convolution; its layer's name."""
        layer = Convolution(
            name=self._name(operation.name),
            input=operands.input,
            weight=operands.weight.values,
            weight_bits=operands.weight_bits,
            output=stage,
            padding_level=operands.padding_level,
            **operation.values,
        )
        self.layers.append(layer)
        return layer.name


def _signs_of(name: str) -> CodeSource:
    return CodeSource(name, 1.0, 1, signed=True)


def _dtype(signed: bool) -> str:
    return "int8" if signed else "uint8"


def _to_bytes(
    affine: Affine,
    unit: Reals,
    start: float,
    source: CodeSource,
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Requantize:
    """The levels of affine(unit x + start), rounded."""
    gain, intercept = affine.slope_and_intercept
    dtype = _dtype(source.signed)
    return fold_affine(
        gain * unit / source.unit,
        (gain * start + intercept) / source.unit + 0.5,
        bounds,
        SATURATION[dtype],
        dtype,
    )
