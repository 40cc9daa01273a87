"""How a layer was compiled: one row of the table that a build prints."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
