"""The size of the picture that a file from elsewhere takes, where it leaves that open."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto

from bitat_deploy.errors import InputError
from bitat_deploy.network import shape_text

_PIXELS = (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8)


def fix_input(value: onnx.ValueInfoProto, path: Path, given: tuple[int, ...] | None) -> None:
    """Make the input ``value`` take one picture of known height, width and channels.

    ``given``, (height, width) or these and the channels, completes what the file leaves open; of
    channels at either end the first is meant, as PyTorch has it, unless the file says otherwise.
    Raises InputError where the input is no picture, its size stays unknown, or is another.
    """
    kind = value.type.tensor_type
    dimensions = kind.shape.dim
    sound = len(dimensions) in (3, 4) and kind.elem_type in _PIXELS
    if not sound or dimensions[0].dim_value > 1:
        raise InputError(
            f"input '{value.name}' of '{path}' is no picture of float32, uint8 or int8, "
            "[1, C, H, W], [1, H, W, C] or [1, H, W]; export the network with one"
        )
    in_file = [dimension.dim_value for dimension in dimensions[1:]]  # 0: open
    sizes = in_file if given is None else _completed(in_file, given)
    if sizes is None or not all(size > 0 for size in sizes):
        said = "x".join(str(size or "?") for size in in_file)
        if given is None:
            raise InputError(
                f"input '{value.name}' of '{path}' has no fixed size ({said}); give it with "
                "--input-shape HEIGHTxWIDTH, or export the network with one"
            )
        raise InputError(
            f"--input-shape {shape_text(given)} does not fit input '{value.name}' of '{path}', "
            f"which is {said}; give height and width, and the channels where the file leaves them "
            "open"
        )
    for dimension, size in zip(dimensions, (1, *sizes), strict=True):
        dimension.ClearField("dim_param")
        dimension.dim_value = size


def _completed(in_file: Sequence[int], given: tuple[int, ...]) -> Sequence[int] | None:
    """Sizes in the file's order, or None where what is given contradicts the file."""
    height, width, channels = (*given, 0)[:3]
    orders: list[tuple[int, ...]] = [(channels, height, width), (height, width, channels)]
    if len(in_file) == 2:
        orders = [(height, width)] if channels in (0, 1) else []
    for order in orders:
        pairs = list(zip(in_file, order, strict=True))
        if all(here == wanted or 0 in (here, wanted) for here, wanted in pairs):
            sizes = [here or wanted for here, wanted in pairs]
            if all(sizes):
                return sizes
    return None
