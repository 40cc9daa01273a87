"""ONNX file to IntegerNetwork: the inverse of the writer.

Nodes after a convolution's sums become its output stage if nothing else reads what is between.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import (
    IMAGE,
    IMAGE_WEIGHT_BITS,
    MAX_BITS,
    AveragePoolStream,
    Clip,
    Codes,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    Logits,
    MaxPool,
    OutputStage,
    Quantize,
    QuantizedDense,
    QuantizeStream,
    Requantize,
    RPReLU,
    Sums,
    packed_bytes,
    unpack_codes,
)
from bitat_deploy.onnx_format.functions import DOMAIN
from bitat_deploy.onnx_format.model import Model, read_model

_MAXIMUM_EXTENT = 1 << 14  # of any number in an attribute
_OUTPUT_STAGES = {"Quantize", "Requantize", "ClipSums"}
_SATURATE = {"Saturate": "int16", "SaturateUint8": "uint8", "SaturateInt8": "int8"}
# What may follow a node within the same layer.
_FOLLOWERS = {
    "ImageConv": _OUTPUT_STAGES,
    "BitSerialConv": _OUTPUT_STAGES,
    "BitSerialDepthwiseConv": _OUTPUT_STAGES,
    "SignedByteConv": _OUTPUT_STAGES,
    "ByteDepthwiseConv": _OUTPUT_STAGES,
    "CodeConv": _OUTPUT_STAGES,
    "ClipSums": {"Requantize"},
    "Requantize": {"AddShortcut", *_SATURATE},
    "AddShortcut": set(_SATURATE),
    "Saturate": {"RPReLU"},
}


@dataclass(frozen=True)
class _Node:
    """A function node with its constants and attributes."""

    kind: str
    inputs: tuple[str, ...]  # the layers that it reads
    constants: tuple[NDArray[Any], ...]
    attributes: dict[str, Any]

    def whole(self, key: str, default: int | None = None) -> int:
        """The value of an attribute that is a whole number; KeyError where it is missing."""
        value = self.attributes[key] if default is None else self.attributes.get(key, default)
        if not isinstance(value, int) or not 0 <= value < _MAXIMUM_EXTENT:
            raise ValueError(f"its {key} is not a whole number, or is out of range")
        return value

    def uniform(self, key: str) -> int:
        """The common value of an attribute with one entry per direction or side."""
        values = self.attributes[key]
        count = 4 if key == "pads" else 2
        if not isinstance(values, list) or len(values) != count:
            raise ValueError(f"its {key} are not {count} whole numbers")
        if not all(isinstance(value, int) and 0 <= value < _MAXIMUM_EXTENT for value in values):
            raise ValueError(f"its {key} are out of range")
        if len(set(values)) != 1:
            raise UnsupportedOperatorError(
                f"its {key} are {values}; equal {key} in all directions are supported"
            )
        return int(values[0])


@dataclass(frozen=True)
class _Group:
    """The nodes of one layer; it is named after the first."""

    name: str
    nodes: tuple[_Node, ...]

    def find(self, kind: str) -> _Node | None:
        return next((node for node in self.nodes if node.kind == kind), None)


def read_network(path: Path) -> IntegerNetwork:
    """Read the network of an ONNX file.

    Raises UnsupportedOperatorError for the first node that is not one of our functions, with its
    layer and what is supported; InputError if the file is damaged or contradicts itself.
    """
    model = read_model(path)
    groups = _groups(model)
    try:
        layers = tuple(_layer(group, model) for group in groups)
        network = IntegerNetwork(
            model.name,
            model.input_shape,
            layers,
            model.class_names,
            model.metadata,
            model.preprocessing,
        )
        formats = network.formats()
        for group, layer in zip(groups, layers, strict=True):
            source = formats[layer.input]
            if isinstance(source, Codes):
                _check_source(group, source)
    except ValueError as error:
        raise InputError(f"'{path}' is damaged: {error}; export the network again") from error
    if not layers or not isinstance(formats[layers[-1].name], Logits):
        raise InputError(f"'{path}' does not end in a classifier; export the network again")
    return network


def _groups(model: Model) -> list[_Group]:
    """Nodes grouped into layers, each after the layers that it reads."""
    names = [node.name or f"node {index}" for index, node in enumerate(model.nodes)]
    readers: dict[str, list[int]] = {model.output_name: [-1]}
    for index, node in enumerate(model.nodes):
        for tensor in node.input:
            readers.setdefault(tensor, []).append(index)
    chains: list[list[int]] = []
    grouped: set[int] = set()
    for index, node in enumerate(model.nodes):
        if not node.input or len(node.output) != 1:
            raise InputError(
                f"layer '{names[index]}' of '{model.path}' has no input or not one output; "
                "export the network again"
            )
        _check_supported(node, names[index])
        if index in grouped:
            continue
        chain = [index]
        while (following := _follower(model, chain[-1], readers)) is not None:
            chain.append(following)
        grouped.update(chain)
        if model.nodes[index].op_type not in _DECODERS:
            raise UnsupportedOperatorError(
                f"operator {DOMAIN}.{node.op_type} (layer '{names[index]}') is separate in "
                f"'{model.path}'; it is supported after a convolution, if nothing else reads the "
                "result"
            )
        chains.append(chain)
    chains.sort(key=lambda chain: chain[-1])
    layer_of = {model.nodes[chain[-1]].output[0]: names[chain[0]] for chain in chains}
    layer_of[model.input_name] = IMAGE
    return [
        _Group(
            names[chain[0]],
            tuple(_node(model, model.nodes[index], names[index], layer_of) for index in chain),
        )
        for chain in chains
    ]


def _follower(model: Model, index: int, readers: dict[str, list[int]]) -> int | None:
    """The only reader of a node's output, if it is part of the same layer."""
    node = model.nodes[index]
    reading = readers.get(node.output[0], [])
    if len(reading) != 1 or reading[0] < 0:
        return None
    follower = model.nodes[reading[0]]
    belongs = follower.domain == DOMAIN and follower.op_type in _FOLLOWERS.get(node.op_type, ())
    return reading[0] if belongs and follower.input[0] == node.output[0] else None


def _check_supported(node: onnx.NodeProto, name: str) -> None:
    known = {*_DECODERS, *(kind for kinds in _FOLLOWERS.values() for kind in kinds)}
    if node.domain == DOMAIN and node.op_type in known:
        return
    supported = ", ".join(f"{DOMAIN}.{key}" for key in sorted(known))
    raise UnsupportedOperatorError(
        f"operator {node.domain or 'ai.onnx'}.{node.op_type} (layer '{name}') is not supported; "
        f"supported are: {supported}"
    )


def _node(model: Model, node: onnx.NodeProto, name: str, layer_of: dict[str, str]) -> _Node:
    """Split a node's inputs into layers, which come first, and constants."""
    tensors = 2 if node.op_type == "AddShortcut" else 1
    missing = [key for key in node.input[tensors:] if key not in model.initializers]
    if missing:
        raise UnsupportedOperatorError(
            f"layer '{name}' takes '{missing[0]}' from another layer; its weights and thresholds "
            "must be constants of the file"
        )
    return _Node(
        kind=node.op_type,
        # A tensor inside a layer is only read by that layer's next node, which does not need it.
        inputs=tuple(layer_of.get(tensor, tensor) for tensor in node.input[:tensors]),
        constants=tuple(model.initializers[key] for key in node.input[tensors:]),
        attributes={entry.name: helper.get_attribute_value(entry) for entry in node.attribute},
    )


def _layer(group: _Group, model: Model) -> Layer:
    kind = group.nodes[0].kind
    try:
        return _DECODERS[kind](group)
    except UnsupportedOperatorError as error:
        raise UnsupportedOperatorError(f"layer '{group.name}': {error}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"layer '{group.name}' ({kind}) of '{model.path}' is inconsistent: {error}; "
            "export the network again"
        ) from error


def _check_source(group: _Group, source: Codes) -> None:
    """Check that a node's attributes describe the codes that it reads."""
    given = {"channels": source.shape[2], "bits": source.bits, "signed": int(source.signed)}
    attributes = group.nodes[0].attributes
    for key, value in given.items():
        if attributes.get(key, value) != value:
            raise ValueError(
                f"layer '{group.name}' is inconsistent: it reads codes with {key} = "
                f"{attributes[key]!r}, but gets {value}"
            )


def _convolution(group: _Group) -> Convolution:
    node = group.nodes[0]
    (weight,) = node.constants
    weight_bits, groups = IMAGE_WEIGHT_BITS, node.whole("group", 1)
    if node.kind.startswith("BitSerial"):
        weight_bits = node.whole("weight_bits")
        depthwise = node.kind == "BitSerialDepthwiseConv"
        channels = node.whole("channels" if depthwise else "weight_channels")
        weight = _levels(weight, channels, weight_bits)
        if depthwise:
            groups, weight = channels, weight.transpose(2, 0, 1)[..., None]
    return Convolution(
        name=group.name,
        input=node.inputs[0],
        weight=np.ascontiguousarray(weight),
        weight_bits=weight_bits,
        output=_output_stage(group),
        stride=node.uniform("strides"),
        padding=_padding(node, weight),
        padding_level=node.whole("padding_level", 0),
        dilation=node.uniform("dilations"),
        groups=groups,
    )


def _padding(node: _Node, weight: NDArray[Any]) -> int:
    """The padding of all sides; of one row or column, of the two sides along it."""
    pads = node.attributes["pads"]
    height, width = weight.shape[1:3]
    if height == width or not isinstance(pads, list) or len(pads) != 4:
        return node.uniform("pads")
    along = [pads[1], pads[3]] if height == 1 else [pads[0], pads[2]]
    across = pads[0::2] if height == 1 else pads[1::2]
    if any(across):
        raise UnsupportedOperatorError(f"its pads are {pads}; one row or column is padded along")
    return replace(node, attributes=node.attributes | {"pads": along * 2}).uniform("pads")


def _levels(packed: NDArray[Any], channels: int, bits: int) -> NDArray[np.int8]:
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"its weights have {bits} bits, not 1 to {MAX_BITS}")
    if packed.dtype != np.uint8 or packed.shape[-1] != bits * packed_bytes(channels):
        raise ValueError(f"its packed weights do not hold {channels} channels of {bits} bits")
    codes = unpack_codes(packed, channels, bits).astype(np.int64)
    return (2 * codes - (2**bits - 1)).astype(np.int8)


def _output_stage(group: _Group) -> OutputStage:
    quantize = group.find("Quantize")
    if quantize is not None:
        return _quantize(quantize)
    node, clip = group.find("Requantize"), group.find("ClipSums")
    if node is None and clip is None:
        return Sums()
    dtypes = [_SATURATE[entry.kind] for entry in group.nodes if entry.kind in _SATURATE]
    if node is None or not dtypes:
        raise UnsupportedOperatorError(
            "its Requantize is not followed by Saturate, or something else reads what is between"
        )
    multiplier, bias = node.constants
    shortcut, activation = group.find("AddShortcut"), group.find("RPReLU")
    return Requantize(
        clip=Clip(*clip.constants) if clip else None,
        dtype=dtypes[0],
        multiplier=multiplier,
        bias=bias,
        shift=node.whole("shift"),
        shortcut=shortcut.inputs[1] if shortcut else None,
        activation=_activation(activation) if activation else None,
    )


def _quantize(node: _Node) -> Quantize:
    (thresholds,) = node.constants
    stage = Quantize(thresholds, bool(node.whole("signed")))
    if stage.bits != node.whole("bits"):
        raise ValueError(f"it has {len(thresholds)} thresholds for {node.whole('bits')} bits")
    return stage


def _activation(node: _Node) -> RPReLU:
    before, slope, after = node.constants
    return RPReLU(before, slope, node.whole("shift"), after)


def _quantize_stream(group: _Group) -> QuantizeStream:
    stage = _output_stage(group)
    assert isinstance(stage, Quantize | Requantize)
    return QuantizeStream(group.name, group.nodes[0].inputs[0], stage)


def _average_pool(group: _Group) -> AveragePoolStream:
    return AveragePoolStream(group.name, group.nodes[0].inputs[0])


def _max_pool(group: _Group) -> MaxPool:
    node = group.nodes[0]
    window = (node.uniform("kernel_shape"), node.uniform("strides"), node.uniform("pads"))
    return MaxPool(group.name, node.inputs[0], *window)


def _global_sum(group: _Group) -> GlobalSum:
    node = group.nodes[0]
    return GlobalSum(group.name, node.inputs[0], node.whole("shift", 0))


def _dense(group: _Group) -> QuantizedDense:
    node = group.nodes[0]
    weight, bias, scale = node.constants
    if scale.dtype != np.float32 or scale.shape != ():
        raise ValueError("its scale is not one float32")
    return QuantizedDense(group.name, node.inputs[0], weight, bias, np.float32(scale))


_DECODERS: dict[str, Callable[[_Group], Layer]] = {
    "ImageConv": _convolution,
    "BitSerialConv": _convolution,
    "BitSerialDepthwiseConv": _convolution,
    "SignedByteConv": _convolution,
    "ByteDepthwiseConv": _convolution,
    "CodeConv": _convolution,
    "Quantize": _quantize_stream,
    "ClipSums": _quantize_stream,
    "AveragePoolStream": _average_pool,
    "MaxPoolCodes": _max_pool,
    "MaxPoolBytes": _max_pool,
    "GlobalCodeSum": _global_sum,
    "GlobalStreamSum": _global_sum,
    "QuantizedDense": _dense,
}
