"""Native programs and libraries for a target; cached, because compiling takes a while."""

import hashlib
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from bitat_deploy.compiler import compile_cpp
from bitat_deploy.paths import cache_directory
from bitat_deploy.target import Target


def native_program(
    name: str,
    sources: Sequence[Path],
    target: Target,
    *,
    packages: Sequence[str],
    include_directories: Sequence[Path] = (),
    libraries: Sequence[Path] = (),
    rpath: str = "$ORIGIN/lib",
    status: Callable[[str], None] = lambda message: None,
) -> Path:
    """Path of the program ``name``, compiled unless the cache has it for these ``sources``.

    ``sources`` are C++ files, their headers, and for a shared library the version script
    (``.map``). ``packages`` names the Python packages that it is also built from. ``rpath`` is
    where it looks for its libraries, with ``$ORIGIN`` for its own folder. ``status`` gets a line
    before compiling. Raises BuildError.
    """
    folder = cache_directory() / "runner" / _fingerprint(name, sources, target, packages)
    program, checksum = folder / name, folder / f"{name}.sha256"
    if not _is_intact(program, checksum):
        status(
            f"compiling {name} for {target.architecture} "
            "(a minute or two the first time, then it is cached)"
        )
        compile_cpp(
            [source for source in sources if source.suffix == ".cc"],
            program,
            target,
            exports=next((source for source in sources if source.suffix == ".map"), None),
            include_directories=include_directories,
            libraries=libraries,
            rpath=rpath,
        )
        checksum.write_text(_sha256(program.read_bytes()))
    return program


def _is_intact(program: Path, checksum: Path) -> bool:
    if not (program.is_file() and checksum.is_file()):
        return False
    return checksum.read_text() == _sha256(program.read_bytes())


def _fingerprint(
    name: str, sources: Sequence[Path], target: Target, packages: Sequence[str]
) -> str:
    """Checksum of everything that the program is built from."""
    parts = [f"{name} {target.architecture} {target.glibc}"]
    parts += [f"{package} {metadata.version(package)}" for package in packages]
    for source in sources:
        parts += [source.name, source.read_text(encoding="utf-8")]
    return _sha256("\0".join(parts).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
