"""Runs a bundle's network on the device, in this process: frame in, classes out.

    from bitat_device import Network

    network = Network("path/to/bundle")  # once; without a path, the folder of this file
    for frame in camera:                 # numpy arrays [height, width, 3], or bytes
        for name, score in network.classify(frame, count=3):
            print(name, score)

Needs Python 3.7 or newer and its standard library; numpy is optional. It calls the bundle's own
lib/libbitat_deploy.so, whose header bitat_deploy.h says more. The logits are the same as of all
other ways to run the bundle, bit for bit.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from pathlib import Path
from typing import Any

__all__ = ["DeviceError", "Network"]

FORMATS = {"rgb": (0, 3), "bgr": (1, 3), "grey": (2, 1), "rgbx": (3, 4), "bgrx": (4, 4)}

_OK = 0


class DeviceError(Exception):
    """What the library says; ``status`` is its code, a ``bitat_status`` of bitat_deploy.h."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Options(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int) for name in ("size", "threads", "batch", "height", "width", "channels")
    ]


class _Info(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int)
        for name in ("threads", "batch", "height", "width", "channels", "classes")
    ]


class _Frame(ctypes.Structure):
    _fields_ = [("pixels", ctypes.c_void_p)] + [
        (name, ctypes.c_int) for name in ("width", "height", "stride", "format")
    ]


class Network:
    """The network of the bundle in ``folder``, loaded; free it with ``close`` or ``with``.

    ``threads`` is how many a run uses, 0 for one. A network may be used by several threads; their
    calls wait for each other. Raises DeviceError, OSError.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, threads: int = 0) -> None:
        self._network: ctypes.c_void_p | None = None
        folder = Path(__file__).parent if folder is None else Path(folder)
        self._library = _load(str(folder.resolve() / "lib" / "libbitat_deploy.so"))
        options = _Options(ctypes.sizeof(_Options), threads)
        network = ctypes.c_void_p()
        self._check(
            self._library.bitat_open(
                os.fsencode(folder), ctypes.byref(options), ctypes.byref(network)
            )
        )
        self._network = network
        self._lock = threading.Lock()
        info = self._info()
        #: Of an image as the network takes it: height, width and channels.
        self.shape = (info.height, info.width, info.channels)
        self.name = self._text("bitat_name")
        #: The version of bitat-deploy that built the bundle.
        self.built_by = self._text("bitat_built_by")
        #: What is done to a frame before the network sees it, in words.
        self.preparation = self._text("bitat_preparation")
        names = [self._library.bitat_class_name(network, i) for i in range(info.classes)]
        #: The classes' names, where the bundle has them; else "class 0" and so on.
        self.class_names = [
            f"class {index}" if name is None else _text(name) for index, name in enumerate(names)
        ]

    def classify(
        self,
        frame: Any,
        format: str = "rgb",
        *,
        count: int = 5,
        width: int | None = None,
        height: int | None = None,
        stride: int = 0,
    ) -> list[tuple[str, float]]:
        """The likeliest classes of ``frame``: (name, score), the scores of all adding up to 1.

        ``frame`` is an array of uint8 [height, width, channels] or, in grey, [height, width], as
        numpy and OpenCV have it; or bytes, with ``width``, ``height`` and ``stride``, the bytes
        from a row to the next. ``format`` says what a pixel is: rgb, bgr (as OpenCV reads
        pictures), grey, rgbx or bgrx. The frame is cropped and resized as the bundle records.
        """
        logits = self.logits(frame, format, width=width, height=height, stride=stride)
        highest = max(logits)
        shares = [math.exp(logit - highest) for logit in logits]
        order = sorted(range(len(logits)), key=lambda index: -logits[index])[:count]
        total = math.fsum(shares)
        return [(self.class_names[index], shares[index] / total) for index in order]

    def logits(
        self,
        frame: Any,
        format: str = "rgb",
        *,
        width: int | None = None,
        height: int | None = None,
        stride: int = 0,
    ) -> list[float]:
        """The network's output for ``frame``, as for ``classify``: a float for each class."""
        with self._lock:
            self._put(frame, format, width, height, stride)
            self._check(self._library.bitat_run(self._handle()))
            classes = self._info().classes
            return self._library.bitat_logits(self._handle())[:classes]

    def image(
        self,
        frame: Any,
        format: str = "rgb",
        *,
        width: int | None = None,
        height: int | None = None,
        stride: int = 0,
    ) -> bytes:
        """The bytes of the image that the network would get of ``frame``: uint8 of ``shape``."""
        with self._lock:
            self._put(frame, format, width, height, stride)
            size = self.shape[0] * self.shape[1] * self.shape[2]
            return ctypes.string_at(self._library.bitat_input(self._handle()), size)

    def close(self) -> None:
        """Free the network; it cannot be used any more."""
        if self._network is not None:
            self._library.bitat_close(self._network)
            self._network = None

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _handle(self) -> ctypes.c_void_p:
        if self._network is None:
            raise ValueError("the network is closed")
        return self._network

    def _info(self) -> Any:
        return self._library.bitat_describe(self._handle()).contents

    def _text(self, function: str) -> str:
        return _text(getattr(self._library, function)(self._network))

    def _check(self, status: int) -> None:
        if status != _OK:
            raise DeviceError(status, _text(self._library.bitat_error_text()))

    def _put(
        self, frame: Any, format: str, width: int | None, height: int | None, stride: int
    ) -> None:
        if format not in FORMATS:
            raise ValueError(f"unknown format {format!r}; there are {', '.join(FORMATS)}")
        number, bytes_each = FORMATS[format]
        if width is None or height is None:
            described, owner = _of_array(frame, bytes_each)
        else:
            described, owner = _of_bytes(frame, bytes_each, width, height, stride)
        described.format = number
        self._check(self._library.bitat_put_frame(self._handle(), 0, ctypes.byref(described)))
        del owner  # until here the pixels had to stay


def _text(said: bytes) -> str:
    """What the library says; a damaged model.txt need not be UTF-8."""
    return said.decode(errors="replace")


def _of_array(frame: Any, bytes_each: int) -> tuple[_Frame, Any]:
    """A frame with a shape: the structure for it, and what keeps its pixels."""
    facts = getattr(frame, "__array_interface__", None)
    if facts is None:
        view = memoryview(frame)
        shape, kind = view.shape or (), view.format
    else:
        shape, kind = tuple(facts["shape"]), facts["typestr"]
    channels = 1 if len(shape) == 2 else shape[-1]
    if len(shape) not in (2, 3) or channels != bytes_each or kind not in ("B", "|u1"):
        raise ValueError(
            f"the frame is of shape {shape} and type {kind}; wanted is uint8 in [height, width"
            f"{'' if bytes_each == 1 else f', {bytes_each}'}], or bytes with width and height"
        )
    if facts is None:
        pixels = view.cast("B") if view.c_contiguous else view.tobytes()
        return _of_bytes(pixels, bytes_each, shape[1], shape[0], 0)
    strides = facts.get("strides")
    if strides is None:
        strides = (shape[1] * bytes_each, bytes_each, 1)
    if strides[1] != bytes_each or (len(shape) == 3 and strides[2] != 1):
        return _of_array(frame.copy(), bytes_each)
    return _Frame(facts["data"][0], shape[1], shape[0], strides[0]), frame


def _of_bytes(
    pixels: Any, bytes_each: int, width: int, height: int, stride: int
) -> tuple[_Frame, Any]:
    view = memoryview(pixels).cast("B")
    row = stride or width * bytes_each
    if width < 1 or height < 1 or row < width * bytes_each:
        raise ValueError("width and height are at least 1, and a stride at least a row's bytes")
    if len(view) < row * (height - 1) + width * bytes_each:
        raise ValueError(f"{len(view)} bytes are too few for {width}x{height} pixels")
    owner: Any = bytes(view) if view.readonly else (ctypes.c_char * len(view)).from_buffer(view)
    pixel = ctypes.c_char_p(owner) if view.readonly else ctypes.pointer(owner)
    return _Frame(ctypes.cast(pixel, ctypes.c_void_p), width, height, row), owner


def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, *arguments in (
        ("bitat_open", number, text, ctypes.POINTER(_Options), ctypes.POINTER(pointer)),
        ("bitat_close", None, pointer),
        ("bitat_describe", ctypes.POINTER(_Info), pointer),
        ("bitat_put_frame", number, pointer, number, ctypes.POINTER(_Frame)),
        ("bitat_input", pointer, pointer),
        ("bitat_run", number, pointer),
        ("bitat_logits", ctypes.POINTER(ctypes.c_float), pointer),
        ("bitat_error_text", text),
        ("bitat_name", text, pointer),
        ("bitat_built_by", text, pointer),
        ("bitat_preparation", text, pointer),
        ("bitat_class_name", text, pointer, number),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
