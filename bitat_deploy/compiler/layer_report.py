"""What became of each layer: the row of the table that ends a build."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerReport:
    """One layer as compiled.

    ``binarized``: weights and input activations are 1 bit. ``fused``: normalisation, sign and
    packing happen inside the operator. ``packed_output``: the next layer reads packed bits.
    ``reason`` says why not, where one of the three is false; ``macs`` counts
    multiply-accumulates for one image. Shapes are (height, width, channels), or (features,).
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
