"""Converts the picture's bytes to a foreign network's input, as part of the network."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bitat_deploy.errors import InputError
from bitat_deploy.foreign.graph import Graph, TensorType
from bitat_deploy.network import IMAGE, Preprocessing

_USUAL_CHANNELS = (1, 3, 4)  # tell [1, H, W, C] from [1, C, H, W]
_SIGNED_ZERO = 128  # an int8 pixel is the byte minus this
LOGITS = "logits"


# What most networks are trained on, assumed where nobody says.
USUAL = Preprocessing(assumed=True)


def with_picture_input(
    graph: Graph, preprocessing: Preprocessing
) -> tuple[Graph, tuple[int, int, int], Preprocessing]:
    """The graph from uint8 ``image`` [1, H, W, C] to float32 ``logits`` [1, classes].

    An int8 input gets the byte minus 128. Also returns (H, W, C) and what is done to a picture,
    which the graph's metadata has too. Raises InputError if input or output has an unsupported
    form.
    """
    graph, shape, preprocessing = _picture(graph, preprocessing)
    return _logits(graph), shape, preprocessing


def _picture(
    graph: Graph, preprocessing: Preprocessing
) -> tuple[Graph, tuple[int, int, int], Preprocessing]:
    if IMAGE in graph.types and graph.input != IMAGE:
        raise InputError(f"the network has a tensor '{IMAGE}' besides its input; rename it")
    kind = graph.types[graph.input]
    height, width, channels, channels_last = _sizes(kind.shape)
    preprocessing = _fitting(kind, preprocessing, (height, width, channels))
    original = graph.input if graph.input != IMAGE else f"{IMAGE}.original"
    if original != graph.input:
        nodes = tuple(_with_input(node, IMAGE, original) for node in graph.nodes)
        graph = replace(graph, nodes=nodes, types=graph.types | {original: kind}, input=original)
    if kind.element == TensorProto.INT8:
        graph = _reading_bytes(graph)
        kind = graph.types[original]
    picture = _Picture(graph, (1, height, width, channels))
    if kind.is_float:
        real = int(TensorProto.FLOAT)
        picture.add("Cast", real, to=real)
        for operator, factor in _arithmetic(preprocessing):
            picture.add(operator, real, factor)
    elif kind.element == TensorProto.INT8:
        whole, byte = int(TensorProto.INT32), int(TensorProto.INT8)
        picture.add("Cast", whole, to=whole)
        picture.add("Sub", whole, np.array(_SIGNED_ZERO, np.int32))
        picture.add("Cast", byte, to=byte)
    if not channels_last:
        picture.add(
            "Transpose", kind.element, shape=(1, channels, height, width), perm=[0, 3, 1, 2]
        )
    if len(kind.shape) == 3:
        plane = np.array(kind.shape, np.int64)
        picture.add("Reshape", kind.element, plane, shape=kind.shape)
    graph = picture.before(original)
    graph = replace(graph, metadata=graph.metadata | preprocessing.in_metadata())
    return without_identities(graph), (height, width, channels), preprocessing


def _sizes(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Height, width, channels and whether these come last; of [1, H, W] there is one channel."""
    if len(shape) == 3:
        return shape[1], shape[2], 1, True
    _, first, second, third = shape
    if third in _USUAL_CHANNELS and first not in _USUAL_CHANNELS:
        return first, second, third, True
    return second, third, first, False


def _fitting(
    kind: TensorType, preprocessing: Preprocessing, shape: tuple[int, int, int]
) -> Preprocessing:
    """What is done to a picture. Raises InputError if the options do not apply to the input."""
    preprocessing.check(shape)
    if kind.is_float:
        return preprocessing
    given = (preprocessing.scale, preprocessing.mean, preprocessing.std)
    if given != (USUAL.scale, USUAL.mean, USUAL.std):
        raise InputError(
            "the network reads the picture's bytes as they are; leave out --mean, --std and "
            "--input-scale"
        )
    subtracted = 0 if kind.element == TensorProto.UINT8 else _SIGNED_ZERO
    return replace(preprocessing, scale=1.0, mean=(float(subtracted),), std=(1.0,))


def _reading_bytes(graph: Graph) -> Graph:
    """A graph that reads int8 as one that reads uint8, if its first nodes allow it.

    DequantizeLinear gives the same result if input and zero point are both 128 higher.
    """
    readers = {node.name for node in graph.readers().get(graph.input, [])}
    nodes, constants = [], dict(graph.constants)
    for node in graph.nodes:
        if node.name in readers:
            zero = node.input[2] if len(node.input) > 2 else ""
            if node.op_type != "DequantizeLinear" or (zero and zero not in constants):
                return graph
            name = f"{node.name}.zero"
            value = constants[zero] if zero else np.zeros_like(constants[node.input[1]], np.int8)
            constants[name] = (value.astype(np.int16) + _SIGNED_ZERO).astype(np.uint8)
            changed = type(node)()
            changed.CopyFrom(node)
            del changed.input[2:]
            changed.input.append(name)
            node = changed
        nodes.append(node)
    types = dict(graph.types)
    types[graph.input] = replace(types[graph.input], element=int(TensorProto.UINT8))
    return replace(graph, nodes=tuple(nodes), constants=constants, types=types)


class _Picture:
    """The nodes from ``image`` to what the graph reads, one after the other."""

    def __init__(self, graph: Graph, shape: tuple[int, ...]) -> None:
        self._graph, self._shape, self._current = graph, shape, IMAGE
        self._types = {IMAGE: TensorType(shape, int(TensorProto.UINT8))}
        self._constants: dict[str, NDArray[Any]] = {}
        self._nodes: list[onnx.NodeProto] = []

    def add(
        self,
        operator: str,
        element: int,
        *constants: NDArray[Any],
        shape: tuple[int, ...] | None = None,
        **values: Any,
    ) -> None:
        """One more node, which gives ``element`` of the shape before or of ``shape``."""
        name = f"preprocessing.{len(self._nodes)}"
        named = {f"{name}.constant{index}": value for index, value in enumerate(constants)}
        self._shape = shape or self._shape
        self._types[name] = TensorType(self._shape, element)
        self._constants |= named
        inputs = [self._current, *named]
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **values))
        self._current = name

    def before(self, tensor: str) -> Graph:
        """The graph with these nodes in front, which write ``tensor``."""
        last = helper.make_node("Identity", [self._current], [tensor], name="preprocessing")
        return replace(
            self._graph,
            nodes=(*self._nodes, last, *self._graph.nodes),
            constants=self._graph.constants | self._constants,
            types=self._graph.types | self._types,
            input=IMAGE,
        )


def _arithmetic(preprocessing: Preprocessing) -> list[tuple[str, NDArray[np.float32]]]:
    """Operators and constants, without those that change nothing."""
    mean, std = (np.array(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    steps: list[tuple[str, NDArray[np.float32]]] = []
    if preprocessing.scale == 1 / 255:
        # As torchvision's ToTensor computes it, which rounds otherwise than a multiplication.
        steps.append(("Div", np.array(255, np.float32)))
    elif preprocessing.scale != 1:
        steps.append(("Mul", np.array(preprocessing.scale, np.float32)))
    if mean.any():
        steps.append(("Sub", mean))
    if (std != 1).any():
        steps.append(("Div", std))
    return steps


def _logits(graph: Graph) -> Graph:
    kind = graph.types[graph.output]
    classes = int(np.prod(kind.shape))
    if kind.shape[0] != 1 or classes != max(kind.shape) or len(kind.shape) < 2:
        raise InputError(
            f"the network's output '{graph.output}' is {list(kind.shape)}, and not "
            "[1, classes]; classification networks are supported"
        )
    name = LOGITS if LOGITS not in {t for n in graph.nodes for t in n.output} else graph.output
    if name == graph.output and len(kind.shape) == 2:
        return graph
    node = helper.make_node("Flatten", [graph.output], [name], name="flatten logits")
    if len(kind.shape) == 2:
        node = helper.make_node("Identity", [graph.output], [name], name="logits")
    types = graph.types | {name: TensorType((1, classes), kind.element)}
    return without_identities(replace(graph, nodes=(*graph.nodes, node), types=types, output=name))


def without_identities(graph: Graph) -> Graph:
    """The graph without nodes that do nothing: Identity, and Dropout, which only trains."""
    alias: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        kept = type(node)()
        kept.CopyFrom(node)
        for index, tensor in enumerate(node.input):
            kept.input[index] = alias.get(tensor, tensor)
        source = kept.input[0] if kept.input else ""
        if node.op_type in ("Identity", "Dropout") and source not in graph.constants:
            alias[node.output[0]] = source
        else:
            nodes.append(kept)
    if graph.output not in alias:
        return replace(graph, nodes=tuple(nodes))
    # The last name is the one that stays.
    inner = alias[graph.output]
    for node in nodes:
        for tensors in (node.input, node.output):
            for index, tensor in enumerate(tensors):
                if tensor == inner:
                    tensors[index] = graph.output
    return replace(graph, nodes=tuple(nodes))


def _with_input(node: onnx.NodeProto, old: str, new: str) -> onnx.NodeProto:
    renamed = type(node)()
    renamed.CopyFrom(node)
    for index, tensor in enumerate(node.input):
        if tensor == old:
            renamed.input[index] = new
    return renamed
