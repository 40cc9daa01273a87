"""What is done to a picture before a network sees it: one record, obeyed by all that does it.

Training, ``bench``, ``run`` (with Pillow, ``datasets/pictures.py``) and the device library (in C++,
``runner/library/prepare.cc``) make the same bytes of a picture, which are compared by ``==``. The
arithmetic after that (scale, mean and divisor) is part of a network from elsewhere; ours read the
bytes as they are.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from bitat_deploy.errors import InputError
from bitat_deploy.plain_values import build_record, strict_json

FITS = ("crop", "stretch", "middle")
FILTERS = ("bicubic", "bilinear")
ORDERS = ("rgb", "bgr")

_METADATA_KEY = "preprocessing"
_LONGEST_TEXT = 4000
_LONGEST_CLASS_NAME = 400
_MAXIMUM_EXTENT = 1 << 14  # the runner's limit of an image's height and width


@dataclass(frozen=True)
class Preprocessing:
    """From a picture of any size to uint8 [H, W, C], and from there to what the network computes.

    ``fit``: "crop" takes the middle of the picture in the wanted proportions, "stretch" all of it,
    whatever its proportions, and both resize that by ``resize``, "bicubic" or "bilinear" as
    Pillow's ``Image.resize`` computes it; "middle" takes the middle pixels as they are.
    ``resized_to`` (height, width) is the size before the network's middle is taken from it; None
    is the network's own. ``order`` of three channels: "rgb" or "bgr"; one channel is grey as
    Pillow's ``convert("L")`` computes it. Then comes (pixel * ``scale`` - mean) / std, with
    ``mean`` and ``std`` for each channel of that order, or one for all.

    ``assumed``: the network's file does not say, so this is what is usual. Raises InputError for
    values that make no sense.
    """

    fit: str = "crop"
    resize: str = "bicubic"
    resized_to: tuple[int, int] | None = None
    order: str = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    assumed: bool = False

    def __post_init__(self) -> None:
        for name, known in (("fit", FITS), ("resize", FILTERS), ("order", ORDERS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}")
        if self.resized_to is not None:
            if self.fit == "middle":
                raise InputError("resized_to is for pictures that are resized; fit is middle")
            if not all(0 < extent <= _MAXIMUM_EXTENT for extent in self.resized_to):
                raise InputError(f"resized_to must be two sizes from 1 to {_MAXIMUM_EXTENT}")
        numbers = (self.scale, *self.mean, *self.std)
        if not all(map(math.isfinite, numbers)) or self.scale == 0 or 0.0 in self.std:
            raise InputError("scale and std must be finite and not 0, mean must be finite")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise InputError if it does not fit a network for images of ``shape`` (H, W, C)."""
        height, width, channels = shape
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise InputError(
                    f"{name} has {len(values)} values, the network's picture {channels} "
                    "channels; give one value, or one for each channel"
                )
        if self.resized_to is not None and (
            self.resized_to[0] < height or self.resized_to[1] < width
        ):
            raise InputError(
                f"pictures resized to {self.resized_to[0]}x{self.resized_to[1]} are smaller than "
                f"the network's {height}x{width}, of which they should have the middle"
            )

    @property
    def arithmetic(self) -> str:
        """The formula of a pixel, for people."""
        text = "pixel" if self.scale == 1 else f"pixel * {self.scale:g}"
        text = "pixel / 255" if self.scale == 1 / 255 else text
        mean, std = (_listed(values) for values in (self.mean, self.std))
        if set(self.mean) != {0.0}:
            text = f"{text} - {mean}"
        if set(self.std) == {1.0}:
            return text
        return f"({text}) / {std}" if " " in text else f"{text} / {std}"

    def describe(self, shape: tuple[int, int, int]) -> str:
        """All of it for people, of a network for images of ``shape`` (H, W, C)."""
        height, width, channels = shape
        size = f"{width}x{height}"
        whole = size if self.resized_to is None else f"{self.resized_to[1]}x{self.resized_to[0]}"
        parts = {
            "crop": f"middle of the picture, {self.resize} to {whole}",
            "stretch": f"whole picture, stretched, {self.resize} to {whole}",
            "middle": f"middle {size} pixels of the picture",
        }
        text = parts[self.fit] + (f", of that the middle {size}" if whole != size else "")
        colours = {1: "grey", 3: self.order.upper()}.get(channels, f"{channels} channels")
        text = f"{text}; {colours}; {self.arithmetic}"
        return f"{text} (assumed: the file does not say)" if self.assumed else text

    def to_text(self) -> str:
        """One line for a file, which :meth:`from_text` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_text(text: str) -> "Preprocessing":
        """Read :meth:`to_text`. Raises InputError."""
        if len(text) > _LONGEST_TEXT:
            raise InputError(f"a preprocessing has at most {_LONGEST_TEXT} characters")
        try:
            value = strict_json(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the preprocessing is not JSON ({error})") from error
        record: Preprocessing = build_record(Preprocessing, value, "preprocessing")
        return record

    def in_metadata(self) -> dict[str, str]:
        """As an entry of an ONNX file's metadata."""
        return {_METADATA_KEY: self.to_text()}


# Of our own networks, which read the bytes as they are.
OWN = Preprocessing(scale=1.0)


def preprocessing_of(metadata: Mapping[str, str]) -> tuple[Preprocessing, dict[str, str]]:
    """What the metadata of a file of ours records, and the rest of the metadata.

    A file that was made before it was recorded says at most of what size the network's middle
    was taken; the rest is what training did at the time. Raises InputError.
    """
    rest = dict(metadata)
    text = rest.pop(_METADATA_KEY, None)
    if text is not None and text.startswith("{"):
        return Preprocessing.from_text(text), rest
    cropped_from = rest.pop("cropped_from", None)
    if cropped_from is None:
        return replace(OWN, assumed=True), rest
    if not cropped_from.isdecimal():  # of the data set's images as they are
        return replace(OWN, fit="middle", assumed=True), rest
    side = int(cropped_from[:6])
    return replace(OWN, resized_to=(side, side), assumed=True), rest


def class_names_to_text(names: tuple[str, ...]) -> str:
    """Class names in an ONNX file's metadata: a JSON list."""
    return json.dumps(names, ensure_ascii=False)


def class_names_of(text: str) -> tuple[str, ...]:
    """Read :func:`class_names_to_text`, or names with commas between them, as earlier files have.

    Raises InputError.
    """
    names = text.split(",") if text else []
    if text.startswith("["):
        try:
            names = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the class names are not JSON ({error})") from error
    for index, name in enumerate(names):
        if not isinstance(name, str) or len(name) > _LONGEST_CLASS_NAME or not name.isprintable():
            raise InputError(
                f"the name of class {index} is not one line of text of at most "
                f"{_LONGEST_CLASS_NAME} characters"
            )
    return tuple(names)


def _listed(values: tuple[float, ...]) -> str:
    numbers = ", ".join(f"{value:g}" for value in values)
    return f"[{numbers}]" if len(values) > 1 else numbers
