"""Targets: what a network is compiled for. A board is one YAML file in ``targets/``."""

import platform
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bitat_deploy.errors import InputError
from bitat_deploy.plain_values import build_record

# What executes the network on the device: TVM's virtual machine, from shared libraries; or calls
# that are compiled into the runner, which then is one program that needs nothing at all.
RUNTIMES = ("tvm", "static")

# What the target of this machine may be, the best first; extensions that our operators use.
_X86_64 = ("x86-64-avx512", "x86-64-avx2")
_AVX512_EXTENSIONS = ("avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq")


@dataclass(frozen=True)
class Target:
    """A processor and the system on it.

    ``features`` are LLVM's names with their sign, ``required`` the kernel's names (in
    /proc/cpuinfo) of what LLVM takes for granted with ``cpu``. ``vector_bytes`` is the width of a
    vector register; ``vector_pipes`` operations on whole registers begin in a cycle, 0 where that
    is not known. ``in_order`` processors wait where an instruction's operands are not ready.
    Caches are in KiB, 0 where there is none: of one core the first level, of one or more the
    second and third. ``model_cpu`` is the processor that llvm-mca takes it for, if it can.
    ``runtime`` is one of RUNTIMES. ``glibc`` is the oldest C library the bundle has to run with; a
    static one brings its own, and has none here.
    """

    name: str
    description: str
    architecture: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    required: tuple[str, ...]
    cores: int
    vector_bytes: int
    vector_pipes: int = 0
    in_order: bool = False
    l1d_kib: int = 32
    l2_kib: int = 0
    l3_kib: int = 0
    glibc: str = ""
    runtime: str = "tvm"
    model_cpu: str = ""

    @property
    def is_static(self) -> bool:
        """Whether the bundle is one program without shared libraries."""
        return self.runtime == "static"

    @property
    def bmac_bound(self) -> float:
        """Binary multiply-accumulates a cycle of one core that xor, popcount and add allow.

        Three operations for every bit of a vector: 85 with two pipes of 128 bits, 42 with one; 0
        where there is no popcount of vectors. Kernels that share popcounts may exceed it.
        """
        arm = self.architecture != "x86_64"
        return self.vector_pipes * self.vector_bytes * 8 / 3 if arm else 0.0


def target_names() -> list[str]:
    """Names of all targets, sorted."""
    return sorted(
        Path(entry.name).stem for entry in _directory().iterdir() if entry.name.endswith(".yaml")
    )


def load_target(name: str) -> Target:
    """Read one target by name, or a board's own file by its path, which ends in ``.yaml``.

    ``host`` is resolved to the processor of this machine. Raises InputError for an unknown name, a
    missing or malformed file, or a file that has the name of one of our targets.
    """
    file = Path(name)
    if file.suffix != ".yaml":
        if name not in target_names():
            raise InputError(
                f"unknown target '{name}'; choose one of: {', '.join(target_names())}; "
                "or give the path of a file like theirs, which ends in .yaml"
            )
        file = _directory().joinpath(f"{name}.yaml")
    elif file.stem in target_names():
        raise InputError(
            f"'{name}' has the name of a target that there is already, '{file.stem}'; "
            "give the file another name"
        )
    target = _read(file)
    return _resolve_native(target) if target.cpu == "native" else target


def _read(file: Any) -> Target:
    """The target in ``file``, a path or a resource of the package."""
    where = f"target file '{file.name}'"
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(document, dict):
            document = {"name": Path(file.name).stem, **document}
        target: Target = build_record(Target, document, "target")
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" (line {mark.line + 1})"
        raise InputError(f"{where} is not YAML{line}; mend it") from error
    except InputError as error:
        raise InputError(f"in the {where}, {error}; mend it") from error
    if target.runtime not in RUNTIMES:
        raise InputError(
            f"{where} has the runtime '{target.runtime}'; choose one of: {', '.join(RUNTIMES)}"
        )
    if target.is_static == bool(target.glibc):
        raise InputError(f"{where} is wrong: 'glibc' is needed, and only, with runtime 'tvm'")
    return target


def _directory() -> Any:
    return resources.files("bitat_deploy.targets")


def _resolve_native(target: Target) -> Target:
    """Fill in this machine's processor: its widest vectors that our operators use."""
    if platform.machine() != target.architecture:
        raise InputError(
            f"target '{target.name}' is for {target.architecture}, but this machine is "
            f"{platform.machine()}; choose another target"
        )
    flags = _cpu_flags()
    named = next(
        (found for found in map(load_target, _X86_64) if set(found.required) <= flags), None
    )
    if named is None:
        raise InputError("target 'host' needs a processor with AVX2; this machine has none")
    wanted = _AVX512_EXTENSIONS if named.vector_bytes == 64 else ()
    return replace(
        named,
        name=target.name,
        description=target.description,
        features=tuple(f"+{name.replace('_', '')}" for name in wanted if name in flags),
        cores=len(_usable_cores()),
    )


def _cpu_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def _usable_cores() -> set[int]:
    import os

    return os.sched_getaffinity(0)
