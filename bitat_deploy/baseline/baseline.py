"""What a device needs to run a baseline."""

from dataclasses import dataclass
from pathlib import Path

# Where the accuracy of a twin that is the user's own file is known from.
IN_FILE = "file"


@dataclass(frozen=True)
class Twin:
    """A network of the same shapes in another arithmetic; ``content`` is its ONNX file.

    ``name`` is the arithmetic: float32 or int8. ``trained`` says where its accuracy is known from:
    IN_FILE, where the twin is the user's own file; else the name of a training run, whose
    ``top1`` is a fraction of 1. Empty: nobody trained it, so its answers mean nothing.
    """

    name: str
    content: bytes
    trained: str = ""
    top1: float | None = None


@dataclass(frozen=True)
class Baseline:
    """The twins, the program that measures them, and the runtime, as a library and by name."""

    runtime: str
    library: Path
    program: Path
    twins: tuple[Twin, ...]
