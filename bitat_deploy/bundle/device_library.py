"""The device library and the programs that use it: the runner, and users' own.

The library is one of a bundle's shared libraries. For a static target its sources are compiled
into each program, together with the network.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from bitat_deploy.bundle.bundle import (
    DEVICE_LIBRARY,
    LIBRARY_FOLDER,
    NETWORK_OBJECT,
    NOTICES,
    RUNNER,
    Bundle,
)
from bitat_deploy.bundle.native_program import native_program
from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.compiler import compile_cpp
from bitat_deploy.errors import BuildError, BundleError
from bitat_deploy.target import Target

_SUFFIXES = frozenset({".cc", ".h", ".hpp", ".map"})

_PACKAGES = ("ziglang", "apache-tvm", "apache-tvm-ffi")


@contextmanager
def runner_folder() -> Iterator[Path]:
    """Folder of the runner's C++ sources; ``library``, ``relax`` and ``static`` are below it.

    The public headers are in ``library``.
    """
    with resources.as_file(resources.files("bitat_deploy.runner")) as folder:
        yield folder


def native_sources(*folders: Path) -> list[Path]:
    """C++ sources and headers in ``folders``, sorted."""
    return sorted(
        path for folder in folders for path in folder.iterdir() if path.suffix in _SUFFIXES
    )


def device_library(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the shared library for ``target``; ``status`` gets a line for long steps.

    Raises BuildError.
    """
    with runner_folder() as folder:
        return native_program(
            DEVICE_LIBRARY,
            native_sources(folder / "library", folder / "relax"),
            target,
            packages=_PACKAGES,
            include_directories=[include_directory()],
            libraries=runtime_libraries(target),
            rpath="$ORIGIN",
            status=status,
        )


def runner_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the runner for ``target``; ``status`` is as above. Raises BuildError."""
    library = device_library(target, status)
    with runner_folder() as folder:
        headers = [
            path for path in native_sources(folder / "library") if path.suffix in (".h", ".hpp")
        ]
        return native_program(
            RUNNER,
            [*native_sources(folder), *headers],
            target,
            packages=_PACKAGES,
            libraries=[library],
            status=status,
        )


def static_runner(
    network: Path,
    output: Path,
    target: Target,
    status: Callable[[str], None] = lambda message: None,
) -> None:
    """Link the runner with ``network``, an object file made by the compiler.

    ``status`` gets a line for long steps. Raises BuildError.
    """
    status(
        f"linking the runner for {target.architecture} "
        "(a minute or two the first time, then most of it is cached)"
    )
    with runner_folder() as folder:
        _link_static(native_sources(folder), network, output, target)


def build_program(program_sources: Sequence[Path], bundle: Bundle, output: Path) -> None:
    """Compile a program on ``bitat_deploy.h`` or ``bitat_deploy.hpp`` for the device of ``bundle``.

    ``program_sources`` are C++ sources and object files; ``output`` is the program. Its folder
    then contains everything that the device needs: the network, the libraries and their licences.
    The program opens its own folder as the bundle. Raises BundleError, BuildError.
    """
    target = bundle.manifest.target
    paths = {file.path for file in bundle.manifest.files}
    library = f"{LIBRARY_FOLDER}/{DEVICE_LIBRARY}"
    needed = NETWORK_OBJECT if target.is_static else library
    if needed not in paths:
        raise BundleError(
            f"the bundle '{bundle.directory}' has no '{needed}', as it was built by an earlier "
            "version of bitat-deploy; build it again"
        )
    try:
        if target.is_static:
            _link_static(program_sources, bundle.directory / NETWORK_OBJECT, output, target)
        else:
            _link_shared(program_sources, bundle.directory / library, output, target)
        for file in bundle.manifest.files:
            if file.path == NOTICES or (file.push and file.path != RUNNER):
                copy = output.parent / file.path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.directory / file.path, copy)
    except OSError as error:
        raise BuildError(
            f"'{output.parent}' cannot be written ({error.strerror}); choose another folder"
        ) from error


def _link_shared(
    program_sources: Sequence[Path], library: Path, output: Path, target: Target
) -> None:
    with runner_folder() as folder:
        compile_cpp(
            program_sources,
            output,
            target,
            include_directories=[folder / "library"],
            libraries=[library],
            rpath=f"$ORIGIN/{LIBRARY_FOLDER}",
        )


def _link_static(
    program_sources: Sequence[Path], network: Path, output: Path, target: Target
) -> None:
    with runner_folder() as folder:
        library = native_sources(folder / "library", folder / "static")
        compiled = [path for path in (*program_sources, *library) if path.suffix in (".cc", ".o")]
        compile_cpp(
            [*compiled, network],
            output,
            target,
            include_directories=[folder / "library", include_directory()],
        )
