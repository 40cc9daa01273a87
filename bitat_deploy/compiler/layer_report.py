"""What the compiler says of a network and of its layers, each one row of a build's table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.network import Preprocessing

# In the metadata of a network that is partly computed in float32: how far logits may be off,
# relative to the largest. Sums of float32 in another order differ by less than this.
LOGITS_TOLERANCE = "logits_tolerance"
FLOAT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class LayerReport:
    """One layer as compiled.

    ``binarized``: weights and input activations are 1 bit. ``fused``: normalisation, sign and
    packing happen inside the operator. ``packed_output``: the next layer reads packed bits.
    ``reason`` says why not, where one of the three is false; ``macs`` counts
    multiply-accumulates for one image. Shapes are (height, width, channels), or (features,).
    ``tuned`` names the tuning record that the schedule comes from ("device: Raspberry Pi 4
    Model B"); empty: it is the default.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight_bits: int
    activation_bits: int
    macs: int
    binarized: bool
    fused: bool
    packed_output: bool
    reason: str
    tuned: str = ""


def layer_symbols(names: Sequence[str]) -> list[str]:
    """Names of the compiled layers' functions, which a profile reports times by.

    The number keeps apart names that differ only in punctuation.
    """
    return [
        f"layer{index}_{re.sub(r'[^0-9A-Za-z_]', '_', name)}" for index, name in enumerate(names)
    ]


@dataclass(frozen=True)
class CompiledModel:
    """What a bundle has to know of the network it carries.

    ``input_shape`` is (height, width, channels) of the uint8 image; there may be no
    ``class_names``. ``description`` is what the device library reads. ``onnx`` is the file that
    stock ONNX Runtime computes the reference with: the one that was compiled, or, of a network
    that is not ours, one with its preprocessing and our layers in it. ``source`` is that network's
    own file with the preprocessing; None of ours.
    """

    name: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    metadata: dict[str, str]
    layers: tuple[LayerReport, ...]
    description: str
    onnx: Path
    source: Path | None = None
