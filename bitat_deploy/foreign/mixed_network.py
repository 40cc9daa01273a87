"""A network of which some layers are ours and the rest stays as the file has it, in float32."""

from dataclasses import dataclass

import onnx

from bitat_deploy.foreign.graph import Graph
from bitat_deploy.network import Convolution, Format, MaxPool, QuantizeFloat


@dataclass(frozen=True)
class FileLayer:
    """What the file has where a convolution of ours is, and what should be known of ours.

    Bits are those of weights, with zeros that fill up their window, and of the input, however
    many copies of channels ours has; ``macs`` are the file's multiply-accumulates for one picture.
    """

    weight_bits: int
    activation_bits: int
    macs: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MixedNetwork:
    """A network from a uint8 picture to float32 logits, partly in our operators.

    ``graph`` is all of it in ONNX, our layers as nodes of our domain. ``layers`` are these by the
    tensor that each writes, and ``formats`` what such tensors hold. ``reasons`` says of other
    convolutions, by node, why they are not ours; ``in_file`` has what ours were, by node.
    """

    name: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    graph: Graph
    layers: dict[str, QuantizeFloat | Convolution | MaxPool]
    formats: dict[str, Format]
    reasons: dict[str, str]
    in_file: dict[str, FileLayer]

    def to_onnx(self) -> onnx.ModelProto:
        """A model that stock ONNX Runtime runs, one picture at a time."""
        return self.graph.to_model()
