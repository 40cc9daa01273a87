"""TVM's runtime libraries for the target's architecture.

For this machine's architecture they come from the installed packages; for another, from the wheels
of exactly the same versions, whose hashes are in ``requirements-<architecture>.txt``.
"""

import platform
from importlib import metadata
from pathlib import Path

from bitat_deploy.bundle.wheel_libraries import WheelLibraries
from bitat_deploy.errors import BuildError
from bitat_deploy.target import Target

# Library -> (its package, its path in there).
LIBRARIES = {
    "libtvm_runtime.so": ("apache-tvm", "tvm/lib/libtvm_runtime.so"),
    "libtvm_ffi.so": ("apache-tvm-ffi", "tvm_ffi/lib/libtvm_ffi.so"),
}

# Of the libraries, not of the wheels.
_SHA256 = {
    "aarch64": {
        "libtvm_runtime.so": "ba06950fac134b8d71549111fad2c6605cd6f738061fe0482f217c37ccbdff05",
        "libtvm_ffi.so": "673d816bd962daddb55d8b0f8ae137e797500307951d0f721227731df0c13e24",
    }
}


def runtime_libraries(target: Target) -> tuple[Path, ...]:
    """Paths of ``libtvm_runtime.so`` and ``libtvm_ffi.so`` for ``target``.

    Raises BuildError if they cannot be fetched or have another checksum.
    """
    if target.architecture == platform.machine():
        return tuple(installed_file(package, place) for package, place in LIBRARIES.values())
    if target.architecture not in _SHA256:
        raise BuildError(
            f"target '{target.name}' is for {target.architecture}, which has no TVM runtime "
            f"libraries; available: {', '.join(sorted(_SHA256))}"
        )
    versions = "-".join(metadata.version(package) for package, _ in LIBRARIES.values())
    return WheelLibraries(
        title="TVM's runtime libraries",
        architecture=target.architecture,
        folder=f"{target.architecture}-{versions}",
        package="bitat_deploy.bundle",
        requirements=f"requirements-{target.architecture}.txt",
        places={name: place for name, (_, place) in LIBRARIES.items()},
        sha256=_SHA256[target.architecture],
    ).paths()


def include_directory() -> Path:
    """Folder of the C++ headers of tvm-ffi (and DLPack) that the runner is compiled with."""
    return installed_file("apache-tvm-ffi", "tvm_ffi/include")


def installed_file(package: str, place: str) -> Path:
    """Path of a file, or folder, of an installed ``package``. Raises BuildError without it."""
    path = Path(str(metadata.distribution(package).locate_file(place)))
    if not path.exists():
        raise BuildError(f"the installed package '{package}' lacks '{place}'; install it again")
    return path
