"""A network of which some layers are ours and the rest stays as the file has it, in float32."""

from dataclasses import dataclass

import onnx

from bitat_deploy.foreign.graph import Graph
from bitat_deploy.network import (
    ByteLayer,
    Convolution,
    Format,
    MaxPool,
    Preprocessing,
    QuantizeFloat,
)


@dataclass(frozen=True)
class FileLayer:
    """The file's layer that one of our convolutions replaces, with notes for the user.

    Bits are those of the file's weights (including zeros that extend the window) and input,
    not of our copies of channels; ``macs`` are its multiply-accumulates per picture.
    """

    weight_bits: int
    activation_bits: int
    macs: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MixedNetwork:
    """A network from a uint8 picture to float32 logits, partly in our operators.

    ``graph`` is all of it in ONNX, our layers as nodes of our domain. ``layers`` are these by the
    tensor that each writes, and ``formats`` what such tensors hold. ``reasons`` gives, by node,
    why other convolutions are not ours; ``in_file`` describes what ours replaced, by node.
    ``source`` is the file itself, from the same picture.
    ``preprocessing`` is what is done to a picture; its arithmetic is part of the graph.
    """

    name: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    graph: Graph
    layers: dict[str, QuantizeFloat | Convolution | MaxPool | ByteLayer]
    formats: dict[str, Format]
    reasons: dict[str, str]
    in_file: dict[str, FileLayer]
    source: Graph
    preprocessing: Preprocessing

    def to_onnx(self) -> onnx.ModelProto:
        """A model that stock ONNX Runtime runs, one picture at a time."""
        return self.graph.to_model()
