"""64-bit ARM programs in qemu's user emulation, with a plugin that writes down what they execute.

Programs of others are Python packages for ARM: LiteRT's and ncnn's wheels. So an ARM Python of
Debian is kept in the user's cache, with these wheels beside it.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.contenders import Contender, PythonSite
from benchmarks.executed_blocks import Dump, Executed, basic_blocks, read_dump
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.paths import cache_directory
from bitat_deploy.target import Target

PLUGIN_SOURCE = Path(__file__).resolve().parents[1] / "scripts/executed-blocks/executed_blocks.c"
SYSROOT = Path("/usr/aarch64-linux-gnu")  # of Debian's libc6-arm64-cross

# What ARM's processors are called in /proc/cpuinfo.
PROCESSOR_PARTS = {
    "cortex-a53": 0xD03,
    "cortex-a55": 0xD05,
    "cortex-a72": 0xD08,
    "cortex-a76": 0xD0B,
}
_EMULATED_AS = {"cortex-a55": "cortex-a76"}  # has the same extensions; qemu 7.2 has no A55
_L1_WAYS = {"cortex-a72": 2}  # and 4 elsewhere
_L2_WAYS = 16

_DEBIAN = "bookworm"
_PYTHON = "3.11"
_PYTHON_PACKAGES = "python3-minimal,libpython3-stdlib,python3.11,libstdc++6,libgomp1"
_NUMPY = "2.4.6"
_PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_27_aarch64")

Status = Callable[[str], None]


class Emulator:
    """qemu-aarch64 with the plugin, and with a machine's description as programs read it."""

    def __init__(self, target: Target, folder: Path, caches: bool = False) -> None:
        if target.architecture != "aarch64" or target.cpu not in PROCESSOR_PARTS:
            known = ", ".join(PROCESSOR_PARTS)
            raise InputError(f"'{target.name}' has none of the processors: {known}")
        program = shutil.which("qemu-aarch64")
        if program is None or not SYSROOT.is_dir():
            raise InputError(
                "this needs qemu: apt install qemu-user libc6-arm64-cross libstdc++6-arm64-cross"
            )
        self.version = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
        self._plugin = _build_plugin(folder)
        self._dump = folder / "executed"
        self._caches = _cache_options(target) if caches else ""
        self._root = folder / "root"
        _describe_machine(target, self._root)
        processor = _EMULATED_AS.get(target.cpu, target.cpu)
        self._command = [program, "-cpu", processor, "-L", str(self._root)]

    def inference(self, contender: Contender) -> tuple[list[Executed], int]:
        """The basic blocks of one inference, and its instructions.

        It is what the program executes with two measured runs more than with one; weights are
        packed and memory is taken before. Raises RunFailedError, BuildError.
        """
        once, twice = (self._run(contender, runs) for runs in (1, 2))
        return basic_blocks(once, twice, 1), twice.instructions - once.instructions

    def _run(self, contender: Contender, runs: int) -> Dump:
        self._dump.unlink(missing_ok=True)
        self._show_libraries(arm_python() if contender.interpreter else SYSROOT)
        plugin = f"{self._plugin},out={self._dump}{self._caches}"
        launcher = ["setarch", "-R", *self._command, "-plugin", plugin]
        contender.run(threads=1, warmup=0, runs=runs, seconds=0, launcher=launcher)
        return read_dump(self._dump)

    def _show_libraries(self, system: Path) -> None:
        for name in ("lib", "usr"):
            link = self._root / name
            link.unlink(missing_ok=True)
            if (system / name).exists():
                link.symlink_to(system / name)


def arm_python(status: Status = lambda message: None) -> Path:
    """The root of an ARM Python, built from Debian's packages when it is first needed.

    Its packages are unpacked, not installed: no ARM code runs. Raises BuildError.
    """
    key = hashlib.sha256(f"{_DEBIAN} {_PYTHON_PACKAGES}".encode()).hexdigest()[:12]
    root = cache_directory() / f"arm-python-{key}"
    if not root.is_dir():
        status("unpacking Debian's Python for ARM (once; about 25 MB of packages)")
        beside = root.with_suffix(".part")
        shutil.rmtree(beside, ignore_errors=True)
        command = ["mmdebstrap", "--mode=root", "--architectures=arm64", "--variant=extract"]
        command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
        command += ["--dpkgopt=path-exclude=/usr/share/doc/*"]
        command += [f"--include={_PYTHON_PACKAGES}", _DEBIAN, str(beside)]
        _call([*command, "http://deb.debian.org/debian"], "the ARM Python")
        beside.replace(root)
    return root


def _arm_wheels(requirements: Mapping[str, str], status: Status) -> Path:
    """A folder with the ARM wheels of ``requirements``, package to version. Raises BuildError."""
    wanted = [f"{name}=={number}" for name, number in sorted(requirements.items())]
    key = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:12]
    site = cache_directory() / f"arm-site-{key}"
    if not site.is_dir():
        status(f"fetching ARM wheels of {', '.join(wanted)} (once)")
        beside = site.with_suffix(".part")
        shutil.rmtree(beside, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        command += [str(beside), "--only-binary", ":all:", "--python-version", _PYTHON]
        command += [f"--platform={platform}" for platform in _PLATFORMS]
        _call([*command, *wanted], ", ".join(wanted))
        beside.replace(site)
    return site


def arm_site_of(package: str, version: str, status: Status = lambda message: None) -> PythonSite:
    """Where a program in Python runs with the ARM wheel of ``package``. Raises BuildError."""
    interpreter = str(arm_python(status) / f"usr/bin/python{_PYTHON}")
    return PythonSite((interpreter,), _arm_wheels({"numpy": _NUMPY, package: version}, status))


def _call(command: Sequence[str], what: str) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise BuildError(f"{what} cannot be had: {error}; install {command[0]}") from error
    if result.returncode:
        lines = result.stderr.strip().splitlines()[-1:]
        raise BuildError(f"{what} cannot be had: {''.join(lines)}")


def _cache_options(target: Target) -> str:
    second = target.l2_kib or target.l3_kib
    ways = _L1_WAYS.get(target.cpu, 4)
    return f",l1={target.l1d_kib}:{ways},l2={second}:{_L2_WAYS}"


def _build_plugin(folder: Path) -> Path:
    plugin = folder / "libexecuted_blocks.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-O2", "-shared", "-fPIC", "-Wall"]
    # Its functions are the emulator's own.
    command += ["-Wl,-z,undefs", str(PLUGIN_SOURCE), "-o", str(plugin)]
    subprocess.run(command, check=True)
    return plugin


def _describe_machine(target: Target, root: Path) -> None:
    """What the emulated machine's kernel would tell, below a root directory.

    ONNX Runtime reads the processor's features there, and crashes on those of an x86; ncnn chooses
    kernels by the processor's part.
    """
    cores = root / "sys/devices/system/cpu"
    cores.mkdir(parents=True)
    for name in ("possible", "present"):
        (cores / name).write_text(f"0-{target.cores - 1}\n")
    features = "fp asimd evtstrm crc32 cpuid"
    if "+dotprod" in target.features:
        features += " atomics fphp asimdhp asimddp"
    core = (
        f"BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x0\n"
        f"CPU part\t: {PROCESSOR_PARTS[target.cpu]:#x}\nCPU revision\t: 3\n\n"
    )
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(
        "".join(f"processor\t: {number}\n{core}" for number in range(target.cores))
    )
