"""The runner, compiled for a target; cached, as the compiler takes a while."""

import hashlib
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path

from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.compiler.cross_compiler import compile_cpp
from bitat_deploy.paths import cache_directory
from bitat_deploy.target import Target

_COMPILED_WITH = ("ziglang", "apache-tvm", "apache-tvm-ffi")


def runner_program(target: Target, status: Callable[[str], None] = lambda message: None) -> Path:
    """Path of the runner for ``target``, compiled if the cache has none of these sources.

    ``status`` is told what takes long. Raises BuildError.
    """
    folder = cache_directory() / "runner" / _fingerprint(target)
    program, checksum = folder / "runner", folder / "runner.sha256"
    if not _is_intact(program, checksum):
        status(
            f"compiling the runner for {target.architecture} "
            "(a minute or two the first time, then it is cached)"
        )
        with resources.as_file(resources.files("bitat_deploy.runner")) as sources:
            compile_cpp(
                sorted(sources.glob("*.cc")),
                program,
                target,
                include_directories=[include_directory()],
                libraries=runtime_libraries(target),
                rpath="$ORIGIN/lib",
            )
        checksum.write_text(_sha256(program.read_bytes()))
    return program


def _is_intact(program: Path, checksum: Path) -> bool:
    if not (program.is_file() and checksum.is_file()):
        return False
    return checksum.read_text() == _sha256(program.read_bytes())


def _fingerprint(target: Target) -> str:
    """Names everything that the program is made of."""
    parts = [f"{target.architecture} {target.glibc}"]
    parts += [f"{package} {metadata.version(package)}" for package in _COMPILED_WITH]
    for source in sorted(resources.files("bitat_deploy.runner").iterdir(), key=lambda s: s.name):
        if source.name.endswith((".cc", ".h")):
            parts += [source.name, source.read_text()]
    return _sha256("\0".join(parts).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
