"""TVM's runtime libraries for the target's architecture.

For this machine's architecture they are those of the installed packages. For another one they are
taken out of the wheels of exactly the same versions, which pip fetches once and checks against the
hashes in ``requirements-<architecture>.txt``.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata, resources
from pathlib import Path

from bitat_deploy.errors import BuildError
from bitat_deploy.paths import cache_directory
from bitat_deploy.target import Target

# Library -> (its package, its place in there).
LIBRARIES = {
    "libtvm_runtime.so": ("apache-tvm", "tvm/lib/libtvm_runtime.so"),
    "libtvm_ffi.so": ("apache-tvm-ffi", "tvm_ffi/lib/libtvm_ffi.so"),
}

# Of the libraries, not of the wheels: checked whenever they are taken from the cache.
_SHA256 = {
    "aarch64": {
        "libtvm_runtime.so": "ba06950fac134b8d71549111fad2c6605cd6f738061fe0482f217c37ccbdff05",
        "libtvm_ffi.so": "673d816bd962daddb55d8b0f8ae137e797500307951d0f721227731df0c13e24",
    }
}


def runtime_libraries(target: Target) -> tuple[Path, ...]:
    """Paths of ``libtvm_runtime.so`` and ``libtvm_ffi.so`` for ``target``.

    Raises BuildError where they cannot be fetched or are not what they should be.
    """
    if target.architecture == platform.machine():
        return tuple(_installed(package, place) for package, place in LIBRARIES.values())
    if target.architecture not in _SHA256:
        raise BuildError(
            f"target '{target.name}' is for {target.architecture}, for which there are no TVM "
            f"runtime libraries; there are some for: {', '.join(sorted(_SHA256))}"
        )
    versions = "-".join(metadata.version(package) for package, _ in LIBRARIES.values())
    folder = cache_directory() / "runtime" / f"{target.architecture}-{versions}"
    if not _is_intact(folder, target.architecture):
        _fetch(folder, target.architecture)
    return tuple(folder / name for name in LIBRARIES)


def include_directory() -> Path:
    """Folder of the C++ headers of tvm-ffi (and DLPack) that the runner is compiled with."""
    return _installed("apache-tvm-ffi", "tvm_ffi/include")


def _installed(package: str, place: str) -> Path:
    path = Path(str(metadata.distribution(package).locate_file(place)))
    if not path.exists():
        raise BuildError(f"the installed package '{package}' lacks '{place}'; install it again")
    return path


def _is_intact(folder: Path, architecture: str) -> bool:
    return all(
        (folder / name).is_file()
        and hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        for name, sha256 in _SHA256[architecture].items()
    )


def _fetch(folder: Path, architecture: str) -> None:
    """Fill ``folder``; it appears complete or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as name:
        wheels, unfinished = Path(name) / "wheels", Path(name) / "libraries"
        unfinished.mkdir()
        _download_wheels(wheels, architecture)
        for wheel in wheels.glob("*.whl"):
            _extract_libraries(wheel, unfinished)
        if not _is_intact(unfinished, architecture):
            raise BuildError(
                f"TVM's runtime libraries for {architecture} are not those that this version of "
                "bitat-deploy was made for; install bitat-deploy again"
            )
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)


def _download_wheels(destination: Path, architecture: str) -> None:
    requirements = resources.files("bitat_deploy.bundle") / f"requirements-{architecture}.txt"
    with resources.as_file(requirements) as path:
        # The wheels' own Python version is of no matter: one is fixed so that the hashes are.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--platform", f"manylinux_2_28_{architecture}"]
        command += ["--implementation", "cp", "--python-version", "3.11"]
        command += ["--require-hashes", "--requirement", str(path), "--dest", str(destination)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        lines = finished.stderr.strip().splitlines() or ["pip failed"]
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors or lines)[-1].removeprefix("ERROR: ")
        raise BuildError(
            f"TVM's runtime libraries for {architecture} could not be fetched ({reason}); they "
            "are needed once: check the network and build again"
        )


def _extract_libraries(wheel: Path, destination: Path) -> None:
    """Take the libraries out of a wheel, by their known names alone."""
    with zipfile.ZipFile(wheel) as archive:
        present = set(archive.namelist())
        for name, (_, place) in LIBRARIES.items():
            if place in present:
                with archive.open(place) as source, (destination / name).open("wb") as sink:
                    shutil.copyfileobj(source, sink)
