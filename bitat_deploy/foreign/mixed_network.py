"""A network of which some layers are ours and the rest stays as the file has it, in float32."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from bitat_deploy.foreign.graph import Graph
from bitat_deploy.network import Codes, Convolution, Format, MaxPool


@dataclass(frozen=True, eq=False)
class QuantizeFloat:
    """A float32 tensor [1, C, H, W] to packed codes [1, H, W, ...].

    Channel c of the codes is the number of ``thresholds`` float32 [2^bits - 1, channels] that
    x[``channel``[c]] * ``sign``[c] is not below; ``channel`` int32, ``sign`` +1 or -1 in float32.
    ``input_shape`` is (C, H, W).
    """

    name: str
    input: str
    input_shape: tuple[int, int, int]
    channel: NDArray[np.int32]
    sign: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    signed: bool

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return len(self.thresholds).bit_length()

    @property
    def codes(self) -> Codes:
        """The format of what it gives."""
        _, height, width = self.input_shape
        return Codes((height, width, len(self.channel)), self.bits, self.signed)


@dataclass(frozen=True, eq=False)
class MixedNetwork:
    """A network from a uint8 picture to float32 logits, partly in our operators.

    ``graph`` is all of it in ONNX, our layers as nodes of our domain. ``layers`` are these by the
    tensor that each writes, and ``formats`` what such tensors hold. ``reasons`` says of other
    convolutions, by node, why they are not ours; ``notes`` of ours what is to be known.
    """

    name: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    graph: Graph
    layers: dict[str, QuantizeFloat | Convolution | MaxPool]
    formats: dict[str, Format]
    reasons: dict[str, str]
    notes: dict[str, str]

    def to_onnx(self) -> onnx.ModelProto:
        """A model that stock ONNX Runtime runs, one picture at a time."""
        return self.graph.to_model()
