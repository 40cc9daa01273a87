"""The C++ compiler and linker for every target: zig's clang, which comes as a Python package.

It carries its own C library headers and stubs for each glibc version, so nothing has to be
installed on this machine or on the device, and a program asks for no newer glibc than its target
has. For a static target it brings musl, a C library that is linked into the program.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.errors import BuildError
from bitat_deploy.files import scratch_folder
from bitat_deploy.target import Target

# Zig's name of an architecture, and of musl's calling convention there.
_ZIG_NAMES = {"armv7l": ("arm", "musleabihf")}

_WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def compile_cpp(
    sources: Sequence[Path],
    output: Path,
    target: Target,
    *,
    exports: Path | None = None,
    include_directories: Sequence[Path] = (),
    libraries: Sequence[Path] = (),
    rpath: str | None = None,
) -> None:
    """Compile C++17 ``sources`` into a stripped program for ``target``.

    With ``exports``, a linker's version script, it is a shared library that exports those symbols.
    Object files may be among the sources. ``include_directories`` are third-party headers, whose
    warnings are not ours. ``libraries`` are shared libraries to link against; ``rpath`` says where
    the program looks for them when it runs (``$ORIGIN`` is the program's own folder). The C++
    standard library is linked statically, and all else too for a static target;
    symbols are hidden unless they say otherwise. Raises BuildError.
    """
    arguments = ["c++", "-target", _triple(target)]
    arguments += ["-std=c++17", "-O2", "-s", "-fvisibility=hidden", *_WARNINGS]
    for directory in include_directories:
        arguments += ["-isystem", str(directory)]
    if exports is not None:
        arguments += ["-shared", "-fPIC", f"-Wl,-soname,{output.name}"]
        arguments += [f"-Wl,--version-script={exports}"]
    # Also libraries that are needed only by what the program loads later.
    arguments += ["-Wl,--no-as-needed", *(str(path) for path in (*sources, *libraries))]
    if rpath is not None:
        arguments.append(f"-Wl,-rpath,{rpath}")
    _run_zig(arguments, output, target)


def compile_c(
    source: Path, output: Path, target: Target, *, include_directories: Sequence[Path] = ()
) -> None:
    """Compile a C23 ``source`` into an object file for ``target``. Raises BuildError."""
    arguments = ["cc", "-target", _triple(target), "-std=c23", "-O2", "-c", *_WARNINGS]
    for directory in include_directories:
        arguments += ["-isystem", str(directory)]
    _run_zig([*arguments, str(source)], output, target)


def link_relocatable(objects: Sequence[Path], output: Path, target: Target) -> None:
    """Link object files for ``target`` into one. Raises BuildError."""
    _run_zig(["ld.lld", "-r", *(str(path) for path in objects)], output, target)


def link_shared(objects: Sequence[Path], output: Path, target: Target) -> None:
    """Link object files that TVM's LLVM wrote into a shared library for ``target``.

    They need nothing but what is loaded already, so the bare linker does: ``zig c++`` would first
    compile its C++ library, which takes minutes. Raises BuildError.
    """
    arguments = ["ld.lld", "-shared", "--eh-frame-hdr", *(str(path) for path in objects)]
    _run_zig(arguments, output, target)


def _run_zig(arguments: Sequence[str], output: Path, target: Target) -> None:
    """Run a program of zig's; ``output`` appears complete or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output.parent, ".link-") as folder:
        unfinished = folder / output.name
        command = [sys.executable, "-m", "ziglang", *arguments, "-o", str(unfinished)]
        finished = subprocess.run(command, capture_output=True, check=False)
        if finished.returncode != 0:
            messages = finished.stderr.decode(errors="replace")
            raise BuildError(
                f"the compiler for target '{target.name}' ({_triple(target)}) could not make "
                f"'{output.name}': {_first_error(messages)}"
            )
        unfinished.replace(output)


def _triple(target: Target) -> str:
    """The target in zig's words."""
    machine, musl = _ZIG_NAMES.get(target.architecture, (target.architecture, "musl"))
    return f"{machine}-linux-{musl if target.is_static else f'gnu.{target.glibc}'}"


def _first_error(messages: str) -> str:
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line or "No module named" in line]
    return (errors or lines or ["no message; is the package 'ziglang' installed?"])[0]
