"""Targets that a network can be compiled for. A board is one YAML file in ``targets/``."""

import platform
import re
import reprlib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from bitat_deploy.errors import InputError
from bitat_deploy.host_system import is_linux, usable_cores
from bitat_deploy.plain_text import NAME_RULE, is_name
from bitat_deploy.plain_values import build_record
from bitat_deploy.yaml_file import read_yaml

# What executes the network on the device: TVM's virtual machine, from shared libraries; or calls
# that are compiled into the runner, which is then a single program without dependencies.
RUNTIMES = ("tvm", "static")

ARCHITECTURES = ("aarch64", "armv7l", "x86_64")
_VECTOR_BYTES = (16, 32, 64)

_PROCESSOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FEATURE = re.compile(r"[+-][A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TRIPLE_REST = re.compile(r"(-[a-z0-9_]{1,32})?-linux-[a-z0-9]{1,32}")
_GLIBC = re.compile(r"2\.[0-9]{1,3}")
_LONGEST_DESCRIPTION = 200
_MOST_KIB = 1 << 21  # of a cache: 2 GiB

# For the target ``host``: candidates, best first; by ARM's number of the part.
_X86_64 = ("x86-64-avx512", "x86-64-avx2")
_AARCH64 = {"0xd03": "rpi3", "0xd05": "cortex-a55", "0xd08": "rpi4", "0xd0b": "rpi5"}
# Extensions that our operators use.
_AVX2_EXTENSIONS = ("avx_vnni",)
_AVX512_EXTENSIONS = ("avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq")


@dataclass(frozen=True)
class Target:
    """A processor and its operating system.

    ``features`` are LLVM's names with their sign; ``required`` are the kernel's names (in
    /proc/cpuinfo) of the extensions that LLVM assumes for ``cpu``. ``vector_bytes`` is the width of
    a vector register; ``vector_pipes`` is the number of operations on whole registers that start
    in a cycle, 0 if unknown. ``in_order`` processors wait if an instruction's operands are not
    ready. Caches are in KiB, 0 if there is none: the first level of one core, the second and third
    of one or more. ``model_cpu`` is llvm-mca's name of the processor, if it has a model, and
    ``clock_mhz`` the clock, 0 if unknown, by which modelled cycles become a time.
    ``runtime`` is one of RUNTIMES. ``glibc`` is the oldest C library that the bundle must run with;
    empty for a static bundle, which brings its own.
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
    clock_mhz: int = 0

    def __post_init__(self) -> None:
        """Raises InputError with the first field whose value is impossible.

        LLVM's names of processors and features are checked when code is generated.
        """
        description = self.description
        names = {"cpu": self.cpu, "model_cpu": self.model_cpu or self.cpu}
        features = all(map(_FEATURE.fullmatch, self.features))
        caches = {"l1d_kib": self.l1d_kib, "l2_kib": self.l2_kib, "l3_kib": self.l3_kib}
        checks = [
            ("name", is_name(self.name), NAME_RULE),
            (
                "description",
                description.isprintable() and 0 < len(description) <= _LONGEST_DESCRIPTION,
                f"one line of at most {_LONGEST_DESCRIPTION} printable characters",
            ),
            ("architecture", self.architecture in ARCHITECTURES, _one_of(ARCHITECTURES)),
            (
                "triple",
                self.triple.startswith(self.architecture)
                and _TRIPLE_REST.fullmatch(self.triple[len(self.architecture) :]),
                f"the architecture and a Linux system, like {self.architecture}-linux-gnu",
            ),
            *((key, _PROCESSOR.fullmatch(name), "LLVM's name") for key, name in names.items()),
            ("features", features, "LLVM's names, each with '+' or '-' before it"),
            ("required", all(map(_PROCESSOR.fullmatch, self.required)), "the kernel's names"),
            ("cores", 1 <= self.cores <= 1024, "from 1 to 1024"),
            ("vector_bytes", self.vector_bytes in _VECTOR_BYTES, _one_of(_VECTOR_BYTES)),
            ("clock_mhz", 0 <= self.clock_mhz <= 10000, "from 0 to 10000"),
            ("vector_pipes", 0 <= self.vector_pipes <= 16, "from 0 to 16"),
            *((key, 0 <= size <= _MOST_KIB, f"up to {_MOST_KIB}") for key, size in caches.items()),
            ("runtime", self.runtime in RUNTIMES, _one_of(RUNTIMES)),
            (
                "glibc",
                not self.glibc if self.is_static else _GLIBC.fullmatch(self.glibc),
                "a version like 2.28 with the runtime 'tvm', and left out with 'static'",
            ),
        ]
        for key, sound, rule in checks:
            if not sound:
                raise InputError(f"{key} must be {rule}, not {reprlib.repr(getattr(self, key))}")

    @property
    def is_static(self) -> bool:
        """Whether the bundle is one program without shared libraries."""
        return self.runtime == "static"

    @property
    def counting_bound(self) -> float:
        """Binary multiply-accumulates per cycle of one core that xor, popcount and add allow.

        Three operations for every bit of a vector: 85 with two pipes of 128 bits, 42 with one; 0
        without a vector popcount. It is the bound of counting alone: tables and look-ups do with
        fewer operations, and no share of it is stated of them.
        """
        arm = self.architecture != "x86_64"
        return self.vector_pipes * self.vector_bytes * 8 / 3 if arm else 0.0


def target_names() -> list[str]:
    """Names of all targets, sorted."""
    return sorted(path.stem for path in _directory().glob("*.yaml"))


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
                "or give the path of your own target file, which ends in .yaml"
            )
        target = _read(_directory() / f"{name}.yaml")
    else:
        target = _read(file)
        if target.name in target_names():
            raise InputError(
                f"'{name}' has the name of an existing target, '{target.name}'; "
                "give the file another name"
            )
    return _resolve_native(target) if target.cpu == "native" else target


def _read(file: Path) -> Target:
    document = read_yaml(file)
    if isinstance(document, dict):
        document = {"name": file.stem, **document}
    try:
        target: Target = build_record(Target, document, "target")
    except InputError as error:
        raise InputError(f"in the target file '{file}', {error}; correct it") from error
    return target


def _directory() -> Path:
    return Path(str(resources.files("bitat_deploy.targets")))


def _one_of(values: tuple[object, ...]) -> str:
    return f"one of {', '.join(map(str, values))}"


def _resolve_native(target: Target) -> Target:
    """Fill in this machine's processor, with its widest vectors that our operators use."""
    machine = platform.machine()
    if not is_linux() or machine not in ("aarch64", "x86_64"):
        raise InputError(
            f"target '{target.name}' is for Linux on x86_64 or aarch64, but this machine is "
            f"{platform.system()} {machine}; build for a board, as with --target rpi4"
        )
    named = _arm_processor() if machine == "aarch64" else _x86_64_processor()
    return replace(named, name=target.name, description=target.description, cores=usable_cores())


def _x86_64_processor() -> Target:
    flags = set(" ".join(_cpu_facts("flags")[:1]).split())
    named = next(
        (found for found in map(load_target, _X86_64) if set(found.required) <= flags), None
    )
    if named is None:
        raise InputError("target 'host' needs a processor with AVX2; this machine has none")
    wanted = _AVX512_EXTENSIONS if named.vector_bytes == 64 else _AVX2_EXTENSIONS
    features = tuple(f"+{name.replace('_', '')}" for name in wanted if name in flags)
    return replace(named, features=features)


def _arm_processor() -> Target:
    """The board's target whose processor all cores are, or that of any 64-bit ARM processor."""
    parts = set(_cpu_facts("CPU part"))
    by_arm = set(_cpu_facts("CPU implementer")) == {"0x41"}
    part = parts.pop() if by_arm and len(parts) == 1 else ""
    return load_target(_AARCH64.get(part, "aarch64"))


def _cpu_facts(key: str) -> list[str]:
    """The values of ``key`` for each processor that is online."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for name, _, value in pairs if name.strip() == key]
