"""The runner with ONNX Runtime in place of TVM's virtual machine: measured by the same code."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from bitat_deploy.bundle import native_program, native_sources, runner_folder
from bitat_deploy.target import Target


def baseline_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the program for ``target``; ``status`` is told what takes long. Raises BuildError."""
    with (
        runner_folder() as runner,
        resources.as_file(resources.files("bitat_deploy.baseline")) as own,
    ):
        library = [path for path in native_sources(runner / "library") if path.suffix != ".map"]
        return native_program(
            "baseline",
            [*native_sources(runner, own), *library],
            target,
            packages=("ziglang",),
            include_directories=[runner / "library"],
            status=status,
        )
