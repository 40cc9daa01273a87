"""Pictures in any format that Pillow reads, as arrays."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bitat_deploy.errors import InputError

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> Pillow's name


def load_picture(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture as uint8 of ``shape`` (H, W, C), for the user's own pictures.

    It is turned upright as its EXIF data says, laid over black where it is transparent, made grey
    for one channel, and resized by bicubic interpolation without regard to its proportions.
    Raises InputError for a file that is no such picture, or a network with other channels.
    """
    height, width, channels = shape
    mode = _mode(channels)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"'{path}' is no plain file, so it cannot be read as a picture")
    try:
        with large_pictures_refused(), path.open("rb") as file:
            picture = _opaque(file, f"'{path}'", None)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"there is no picture '{path}'") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    resized = picture.convert(mode).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8).reshape(shape)


def decode_picture(
    content: bytes, shown: str, size: tuple[int, int] | None, channels: int = 3
) -> NDArray[np.uint8]:
    """A data set's image as uint8 [H, W, C]; ``shown`` names it in messages.

    With ``size`` (height, width) the middle of these proportions is resized to it by bicubic
    interpolation; without, the picture keeps its size. Raises InputError for what is not a picture.
    Call it inside :func:`large_pictures_refused`.
    """
    mode = _mode(channels)
    picture = _opaque(io.BytesIO(content), shown, size and max(size)).convert(mode)
    if size is not None and picture.size != size[::-1]:
        picture = ImageOps.fit(picture, size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)


def may_be_picture(name: str) -> bool:
    """Whether a file's name ends as pictures' names do, or has no ending that says otherwise."""
    suffix = PurePosixPath(name).suffix.lower()
    return not suffix or suffix in Image.registered_extensions()


def _mode(channels: int) -> str:
    """Pillow's name of pictures of so many channels. Raises InputError where there are none."""
    if channels not in _MODES:
        raise InputError(
            f"the network takes images of {channels} channels; pictures have 1 (grey), 3 (colour) "
            "or 4 (and how opaque they are)"
        )
    return _MODES[channels]


@contextmanager
def large_pictures_refused() -> Iterator[None]:
    """Inside, pictures of more pixels than Pillow thinks safe are an error, in every thread."""
    with warnings.catch_warnings():  # for all threads, so not to be entered by several at once
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _opaque(file: BinaryIO, shown: str, size: int | None) -> Image.Image:
    """The picture upright and over black; a JPEG may come smaller, but above twice ``size``."""
    with _damage_named(shown), Image.open(file) as picture:
        if picture.mode.startswith(("I", "F")):
            raise InputError(f"{shown} has more than 8 bits a channel; save it with 8")
        if size is not None:
            picture.draft(None, (2 * size, 2 * size))
        upright = ImageOps.exif_transpose(picture)
        if not upright.has_transparency_data:
            return upright if upright.mode in ("L", "RGB") else upright.convert("RGB")
        upright = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright)


@contextmanager
def _damage_named(shown: str) -> Iterator[None]:
    try:
        yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{shown} is too large; make it smaller first") from error
    # What Pillow raises for a damaged file depends on the format.
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError) as error:
        raise InputError(f"{shown} cannot be read as a picture; is it damaged?") from error
