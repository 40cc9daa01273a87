"""A folder from which users build their own programs on the device library, by CMake or pkg-config.

What the library is made of depends on the target: shared libraries, as they are in its bundles, or
for a static target the sources, which the user's compiler compiles into each program.
"""

from collections.abc import Callable
from pathlib import Path

from bitat_deploy.bundle.bundle import DEVICE_LIBRARY, NOTICES
from bitat_deploy.bundle.device_library import device_library, runner_folder
from bitat_deploy.bundle.notices import notices
from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_folder
from bitat_deploy.target import Target
from bitat_deploy.version import __version__

_HEADERS = ("bitat_deploy.h", "bitat_deploy.hpp")
_TVM_HEADERS = ("tvm/ffi/c_api.h", "dlpack/dlpack.h")  # what a static target's sources include
_CMAKE = "lib/cmake/bitat_deploy"
_MARK = f"{_CMAKE}/bitat_deploy-target.cmake"

_PKG_CONFIG = """\
prefix=${{pcfiledir}}/../..

Name: bitat_deploy
Description: runs networks that bitat-deploy compiled, on {architecture}
Version: {version}
Cflags: -I${{prefix}}/include
Libs: -L${{prefix}}/lib -lbitat_deploy -Wl,-rpath-link,${{prefix}}/lib
"""


def write_sdk(
    target: Target, directory: Path, status: Callable[[str], None] = lambda message: None
) -> tuple[Path, ...]:
    """Write the headers, the library, CMake's and pkg-config's files and the example.

    An SDK that is there is replaced whole. ``status`` gets a line for long steps. Returns the
    files, relative to ``directory``. Raises InputError where it contains something else or cannot
    be written, BuildError.
    """
    if directory.exists() and not _is_replaceable(directory):
        raise InputError(
            f"'{directory}' exists and is no SDK of bitat-deploy, so it is left unchanged; "
            "choose another folder with -o"
        )
    contents = _contents(target, status)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(directory, ".sdk-") as unfinished:
            for place, content in contents.items():
                path = unfinished / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    except OSError as error:
        raise InputError(
            f"no SDK can be written to '{directory}' ({error.strerror}); "
            "choose another folder with -o"
        ) from error
    return tuple(sorted(map(Path, contents)))


def _is_replaceable(directory: Path) -> bool:
    return directory.is_dir() and ((directory / _MARK).is_file() or not any(directory.iterdir()))


def _contents(target: Target, status: Callable[[str], None]) -> dict[str, bytes]:
    """Place in the SDK to content."""
    facts = {"architecture": target.architecture, "version": __version__}
    static = "ON" if target.is_static else "OFF"
    contents: dict[str, bytes] = {
        NOTICES: notices(target).encode(),
        _MARK: (
            f'set(BITAT_DEPLOY_TARGET "{target.name}")\n'
            f'set(BITAT_DEPLOY_ARCHITECTURE "{target.architecture}")\n'
            f"set(BITAT_DEPLOY_STATIC {static})\n"
        ).encode(),
        f"{_CMAKE}/bitat_deploy-config-version.cmake": _version_file().encode(),
    }
    with runner_folder() as folder:
        for header in _HEADERS:
            contents[f"include/{header}"] = (folder / "library" / header).read_bytes()
        config = "bitat_deploy-config.cmake"
        contents[f"{_CMAKE}/{config}"] = (folder / "sdk" / config).read_bytes()
        for file in ("CMakeLists.txt", "camera.cc"):
            contents[f"example/{file}"] = (folder / "sdk" / file).read_bytes()
        if target.is_static:
            for part in ("library", "static"):
                for path in sorted((folder / part).iterdir()):
                    if path.suffix in (".cc", ".h"):
                        contents[f"src/{part}/{path.name}"] = path.read_bytes()
    if target.is_static:
        for header in _TVM_HEADERS:
            contents[f"src/include/{header}"] = (include_directory() / header).read_bytes()
        return contents
    status(f"fetching TVM's runtime libraries for {target.architecture}")
    for path in (device_library(target, status), *runtime_libraries(target)):
        contents[f"lib/{path.name}"] = path.read_bytes()
    assert f"lib/{DEVICE_LIBRARY}" in contents
    contents["lib/pkgconfig/bitat_deploy.pc"] = _PKG_CONFIG.format(**facts).encode()
    return contents


def _version_file() -> str:
    """What find_package(bitat_deploy VERSION) compares: a program runs with every later version."""
    return (
        f'set(PACKAGE_VERSION "{__version__}")\n'
        "if(PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION)\n"
        "  set(PACKAGE_VERSION_COMPATIBLE FALSE)\n"
        "else()\n"
        "  set(PACKAGE_VERSION_COMPATIBLE TRUE)\n"
        "  if(PACKAGE_FIND_VERSION STREQUAL PACKAGE_VERSION)\n"
        "    set(PACKAGE_VERSION_EXACT TRUE)\n"
        "  endif()\n"
        "endif()\n"
    )
