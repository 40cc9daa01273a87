"""The user's own pictures as a network's images."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bitat_deploy.errors import InputError

_MODES = {1: "L", 3: "RGB"}  # channels -> Pillow's name


def load_picture(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture in any format that Pillow reads, as uint8 of ``shape`` (H, W, C).

    It is turned upright as its EXIF data says, laid over black where it is transparent, made grey
    for one channel, and resized by bicubic interpolation without regard to its proportions.
    Raises InputError for a file that is no such picture, or a network with other channels.
    """
    height, width, channels = shape
    if channels not in _MODES:
        raise InputError(
            f"the network takes images of {channels} channels; pictures have 1 (grey) or 3 (colour)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.mode.startswith(("I", "F")):
                    raise InputError(f"'{path}' has more than 8 bits a channel; save it with 8")
                upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"there is no picture '{path}'") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"'{path}' is too large; make it smaller first") from error
    # What Pillow raises for a damaged file depends on the format.
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError) as error:
        raise InputError(f"'{path}' cannot be read as a picture; is it damaged?") from error
    black = Image.new("RGBA", upright.size, "black")
    opaque = Image.alpha_composite(black, upright).convert(_MODES[channels])
    resized = opaque.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8).reshape(shape)
