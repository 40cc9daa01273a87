"""The program that measures kernels on a device, compiled for a target."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from bitat_deploy.bundle.native_program import native_program
from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.target import Target

MEASURE_KERNELS = "measure_kernels"


def measuring_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the program for ``target``; ``status`` is told what takes long. Raises BuildError."""
    with resources.as_file(resources.files("bitat_deploy.tuning.native")) as folder:
        return native_program(
            MEASURE_KERNELS,
            sorted([*folder.glob("*.cc"), *folder.glob("*.h")]),
            target,
            packages=("ziglang", "apache-tvm", "apache-tvm-ffi"),
            include_directories=[include_directory()],
            libraries=runtime_libraries(target),
            status=status,
        )
