"""What a device needs to run a baseline."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Twin:
    """A network of the same shapes in another arithmetic; ``content`` is its ONNX file.

    It serves for latency and size: nobody trained it, so its answers mean nothing.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Baseline:
    """The twins, the program that measures them, and the runtime, as a library and by name."""

    runtime: str
    library: Path
    program: Path
    twins: tuple[Twin, ...]
