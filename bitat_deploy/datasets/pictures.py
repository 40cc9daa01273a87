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
from bitat_deploy.network import OWN, Preprocessing

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> Pillow's name
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def prepare_picture(
    picture: Image.Image, shape: tuple[int, int, int], preprocessing: Preprocessing, shown: str
) -> NDArray[np.uint8]:
    """``picture`` as the uint8 image [H, W, C] of ``shape`` that a network gets.

    The device library does the same to a camera's frames, bit for bit. ``shown`` names the picture
    in messages. Raises InputError for other numbers of channels than 1, 3 and 4, and for a picture
    that is smaller than the middle that is wanted of it.
    """
    height, width, channels = shape
    picture = picture.convert(_mode(channels))
    rows, columns = preprocessing.resized_to or (height, width)
    if preprocessing.fit != "middle":
        used = preprocessing.fit == "crop"
        box = _middle(picture, columns / rows) if used else (0, 0, picture.width, picture.height)
        picture = _resized(picture, (columns, rows), box, _FILTERS[preprocessing.resize])
    if picture.height < height or picture.width < width:
        raise InputError(
            f"{shown} has {picture.width}x{picture.height} pixels, the network takes the middle "
            f"{width}x{height}: give a larger one"
        )
    pixels = np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)
    top, left = (picture.height - height) // 2, (picture.width - width) // 2
    return in_order(pixels[top : top + height, left : left + width], preprocessing)


def _middle(picture: Image.Image, proportion: float) -> tuple[float, float, float, float]:
    """The largest box in the middle whose width is ``proportion`` times its height."""
    width, height = float(picture.width), float(picture.height)
    if width / height > proportion:
        width = proportion * height
    elif width / height < proportion:
        height = width / proportion
    left, top = (picture.width - width) * 0.5, (picture.height - height) * 0.5
    return left, top, left + width, top + height


def _resized(
    picture: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    method: Image.Resampling,
) -> Image.Image:
    """What is in ``box``, resized to ``size`` (width, height).

    Rows first and columns then, each by a call of its own: which comes first changes the result,
    and Pillow 13 no longer decides it as all versions before.
    """
    (width, height), (left, top, right, bottom) = size, box
    narrow = picture.resize((width, picture.height), method, (left, 0, right, picture.height))
    return narrow.resize((width, height), method, (0, top, width, bottom))


def in_order(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Images [..., C], whose colours are red, green and blue, in the network's order."""
    channels = images.shape[-1]
    if preprocessing.order == "rgb" or channels < 3:
        return images
    return images[..., [2, 1, 0, 3][:channels]]


def load_picture(
    path: Path, shape: tuple[int, int, int], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """The user's own picture as :func:`prepare_picture` makes it.

    First it is turned upright as its EXIF data says, and laid over black where it is transparent.
    Raises InputError for a file that is no such picture, or a network with other channels.
    """
    _mode(shape[2])
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"'{path}' is no plain file, so it cannot be read as a picture")
    try:
        with large_pictures_refused(), path.open("rb") as file:
            picture = _opaque(file, f"'{path}'")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"there is no picture '{path}'") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    return prepare_picture(picture, shape, preprocessing, f"'{path}'")


def decode_picture(
    content: bytes,
    shown: str,
    size: tuple[int, int] | None,
    channels: int = 3,
    preprocessing: Preprocessing = OWN,
) -> NDArray[np.uint8]:
    """A data set's image as uint8 [H, W, C]; ``shown`` names it in messages.

    With ``size`` (height, width) it is what :func:`prepare_picture` makes, as :func:`load_picture`
    does; without, the picture keeps its size. Raises InputError for what is not a picture.
    Call it inside :func:`large_pictures_refused`.
    """
    mode = _mode(channels)
    picture = _opaque(io.BytesIO(content), shown)
    if size is not None:
        return prepare_picture(picture, (*size, channels), preprocessing, shown)
    picture = picture.convert(mode)
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


def _opaque(file: BinaryIO, shown: str) -> Image.Image:
    """The picture upright and over black.

    All of its pixels are decoded, though JPEG offers fewer: a device gets them all from its camera.
    """
    with _damage_named(shown), Image.open(file) as picture:
        if picture.mode.startswith(("I", "F")):
            raise InputError(f"{shown} has more than 8 bits a channel; save it with 8")
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
