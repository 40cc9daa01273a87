"""``NOTICES.txt``: the licences of third-party work in a bundle, as those licences require.

The texts come from the installed packages, whose versions are the ones that are linked or copied.
The components were found in the runner's strings, which name libunwind and libc++abi, and in the
licence files of TVM; TVM's CUDA parts are not in ``libtvm_runtime.so``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from bitat_deploy.bundle.runtime_libraries import installed_file
from bitat_deploy.target import Target


@dataclass(frozen=True)
class _Component:
    """``where``: its place in the bundle.

    ``texts`` are files of the Python ``package``, relative to its metadata or to site-packages.
    """

    name: str
    where: str
    licence: str
    package: str
    texts: tuple[str, ...]


_TVM = _Component(
    "Apache TVM's runtime, with half-precision conversions of LLVM's compiler-rt",
    "lib/libtvm_runtime.so",
    "Apache-2.0; MIT or NCSA",
    "apache-tvm",
    ("licenses/LICENSE", "tvm/NOTICE", "tvm/licenses/LICENSE.builtin_fp16.txt"),
)
_FOREIGN_FUNCTIONS = _Component(
    "Apache TVM FFI and DLPack; in the library also libbacktrace",
    "lib/libtvm_ffi.so and, compiled from headers, lib/libbitat_deploy.so",
    "Apache-2.0; BSD-3-Clause",
    "apache-tvm-ffi",
    ("licenses/LICENSE", "licenses/NOTICE", "tvm_ffi/3rdparty/libbacktrace/LICENSE"),
)
_FOREIGN_FUNCTIONS_HEADERS = _Component(
    "Apache TVM FFI and DLPack",
    "runner, compiled from headers",
    "Apache-2.0",
    "apache-tvm-ffi",
    ("licenses/LICENSE", "licenses/NOTICE"),
)
_OUR_PROGRAMS = "runner and, where there is one, lib/libbitat_deploy.so"
_COMPILER_RT = _Component(
    "Zig's compiler-rt", _OUR_PROGRAMS, "MIT", "ziglang", ("ziglang/LICENSE",)
)
_LLVM = _Component(
    "LLVM's libc++, libc++abi and libunwind (one text: theirs differ only in the name)",
    _OUR_PROGRAMS,
    "Apache-2.0 WITH LLVM-exception",
    "ziglang",
    ("ziglang/lib/libcxx/LICENSE.TXT",),
)
_MUSL = _Component("musl", "runner", "MIT", "ziglang", ("ziglang/lib/libc/musl/COPYRIGHT",))

_HEAD = """\
Licences of what is in this bundle

The runner and the device library are parts of bitat-deploy, Apache-2.0; the text of that licence is
below. The network in {network} belongs to whoever trained it. The bundle also contains:
"""
_GLIBC = """
The runner's start-up code and a few wrappers come from the GNU C Library's start-up files.
They are LGPL-2.1-or-later with permission to link them into any program and to distribute
that without restriction. The library itself is the device's own.
"""
_RULE = "=" * 78


def notices(target: Target) -> str:
    """The text for a bundle for ``target``. Raises BuildError if a package lacks its licence."""
    if target.is_static:
        components: Sequence[_Component] = (_FOREIGN_FUNCTIONS_HEADERS, _COMPILER_RT, _LLVM, _MUSL)
    else:
        components = (_TVM, _FOREIGN_FUNCTIONS, _COMPILER_RT, _LLVM)
    parts = [_HEAD.format(network="the runner" if target.is_static else "model.so")]
    for component in components:
        version = metadata.version(component.package)
        parts.append(f"- {component.name}\n  in {component.where}: {component.licence}")
        parts.append(f"  (Python package {component.package} {version})")
    parts.append("" if target.is_static else _GLIBC)
    for component in components:
        for text in component.texts:
            parts += [_RULE, f"{component.name}: {text.rpartition('/')[2]}", _RULE]
            parts.append(_content(component.package, text))
    return "\n".join(parts)


def _content(package: str, text: str) -> str:
    of_metadata = metadata.distribution(package).read_text(text)
    return of_metadata or installed_file(package, text).read_text(encoding="utf-8")
