"""From the picture's bytes to what a foreign network wants to read, as part of the network."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bitat_deploy.errors import InputError
from bitat_deploy.foreign.graph import Graph, TensorType
from bitat_deploy.network import IMAGE

_PICTURE_CHANNELS = (1, 3, 4)
LOGITS = "logits"


@dataclass(frozen=True)
class Preprocessing:
    """(pixel * ``scale`` - mean) / std, with ``mean`` and ``std`` for each channel or for all."""

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def describe(self) -> str:
        """The formula, for the manifest and for people."""
        scale = "pixel / 255" if self.scale == 1 / 255 else f"pixel * {self.scale:g}"
        if set(self.mean) == {0.0} and set(self.std) == {1.0}:
            return scale
        mean, std = (
            ", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std)
        )
        return f"({scale} - [{mean}]) / [{std}]"

    def check(self, channels: int) -> None:
        """Raise InputError where it does not fit a picture of ``channels``."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise InputError(
                    f"--{name} has {len(values)} values, the network's picture {channels} "
                    "channels; give one value, or one for each channel"
                )
        numbers = (self.scale, *self.mean, *self.std)
        if not np.isfinite(numbers).all() or self.scale == 0 or 0.0 in self.std:
            raise InputError("--input-scale and --std are finite and not 0, --mean is finite")


def with_picture_input(
    graph: Graph, preprocessing: Preprocessing
) -> tuple[Graph, tuple[int, int, int]]:
    """The graph from uint8 ``image`` [1, H, W, C] to float32 ``logits`` [1, classes].

    Also gives (H, W, C). Raises InputError where input or output cannot be taken so.
    """
    graph, shape = _picture(graph, preprocessing)
    return _logits(graph), shape


def _picture(graph: Graph, preprocessing: Preprocessing) -> tuple[Graph, tuple[int, int, int]]:
    kind = graph.types[graph.input]
    _, first, second, third = kind.shape
    channels_last = third in _PICTURE_CHANNELS and first not in _PICTURE_CHANNELS
    height, width, channels = kind.shape[1:] if channels_last else (second, third, first)
    if channels not in _PICTURE_CHANNELS:
        raise InputError(f"the network's input has {channels} channels; pictures have 1, 3 or 4")
    preprocessing.check(channels)
    types = dict(graph.types)
    types[IMAGE] = TensorType((1, height, width, channels), int(TensorProto.UINT8))
    nodes: list[onnx.NodeProto] = []
    constants = dict(graph.constants)
    current = IMAGE
    if IMAGE in graph.types and graph.input != IMAGE:
        raise InputError(f"the network has a tensor '{IMAGE}' besides its input; rename it")
    original = graph.input
    renamed = graph.nodes
    if original == IMAGE:
        original = f"{IMAGE}.original"
        types[original] = kind
        renamed = tuple(_renamed_input(node, IMAGE, original) for node in graph.nodes)

    def add(
        operator: str, *inputs: str, element: int, sizes: tuple[int, ...], **values: Any
    ) -> str:
        name = f"preprocessing.{len(nodes)}"
        types[name] = TensorType(sizes, element)
        nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **values))
        return name

    sizes: tuple[int, ...] = (1, height, width, channels)
    if kind.is_float:
        real = int(TensorProto.FLOAT)
        current = add("Cast", current, element=real, sizes=sizes, to=real)
        for operator, factor in _arithmetic(preprocessing):
            name = f"preprocessing.{len(nodes)}.constant"
            constants[name] = factor
            current = add(operator, current, name, element=real, sizes=sizes)
    if not channels_last:
        perm = [0, 3, 1, 2]
        sizes = kind.shape
        current = add("Transpose", current, element=kind.element, sizes=sizes, perm=perm)
    nodes.append(helper.make_node("Identity", [current], [original], name="preprocessing"))
    graph = replace(graph, nodes=(*nodes, *renamed), constants=constants, types=types, input=IMAGE)
    return without_identities(graph), (height, width, channels)


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


def _renamed_input(node: onnx.NodeProto, old: str, new: str) -> onnx.NodeProto:
    renamed = type(node)()
    renamed.CopyFrom(node)
    for index, tensor in enumerate(node.input):
        if tensor == old:
            renamed.input[index] = new
    return renamed
