"""The runner with ONNX Runtime in the place of our compiled network: measured by the same code."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from bitat_deploy.bundle.native_program import native_program
from bitat_deploy.target import Target

# The runner's own way to run a network.
_REPLACED = ("relax_network.cc", "relax_network.h")


def baseline_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the program for ``target``; ``status`` is told what takes long. Raises BuildError."""
    with (
        resources.as_file(resources.files("bitat_deploy.runner")) as runner,
        resources.as_file(resources.files("bitat_deploy.baseline")) as own,
    ):
        shared = [*runner.glob("*.cc"), *runner.glob("*.h")]
        sources = [source for source in shared if source.name not in _REPLACED]
        sources += [*own.glob("*.cc"), *own.glob("*.h")]
        return native_program(
            "baseline",
            sorted(sources),
            target,
            packages=("ziglang",),
            include_directories=[runner],
            status=status,
        )
