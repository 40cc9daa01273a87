"""Whether a device can run what was built for a target, and all that ``doctor`` says of it."""

from collections.abc import Sequence
from dataclasses import replace

from bitat_deploy.device.condition import EMULATED, Finding, Severity, examine
from bitat_deploy.device.connect import LOCAL
from bitat_deploy.device.connection import Connection
from bitat_deploy.device.health import Health
from bitat_deploy.device.inspect import Device, inspect_device
from bitat_deploy.errors import DeviceUnsuitableError
from bitat_deploy.target import Target, load_target, target_names

# A bundle with its runtime and the images of a test set.
_USUAL_BYTES = 50_000_000

_ARM_32 = "armv7l"

# LLVM's name of a feature -> the kernel's name in /proc/cpuinfo.
_FEATURES = {
    "neon": "asimd",
    "dotprod": "asimddp",
    "fullfp16": "asimdhp",
    "lse": "atomics",
    "i8mm": "i8mm",
    "sve": "sve",
    "avxvnni": "avx_vnni",
    "avx512vnni": "avx512_vnni",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
}


def diagnose(device: Device, health: Health, targets: Sequence[Target]) -> list[Finding]:
    """All that was looked at, in the order in which to read it.

    ``targets`` are those to build for; if there are several, one that fits is enough.
    """
    return [
        _system(device),
        *_targets(device, targets),
        *_work_folder(device),
        *examine(health),
    ]


def check_suitable(device: Device, target: Target, needed_bytes: int) -> None:
    """Raise DeviceUnsuitableError unless the device can run a bundle for ``target``.

    ``needed_bytes`` is what may have to be stored there.
    """
    for problem in [*target_problems(device, target), *folder_problems(device, needed_bytes)]:
        raise DeviceUnsuitableError(
            f"'{device.name}' cannot run a bundle for '{target.name}': {problem.message}; "
            f"{problem.remedy}"
        )


def target_problems(device: Device, target: Target) -> list[Finding]:
    """Why the device's processor and system cannot run programs for ``target``."""
    if device.arch != target.architecture:
        return [_wrong_architecture(device, target)]
    problems = []
    if _has_c_library(device, target):
        pass
    elif not device.glibc:
        problems.append(
            _problem(
                "C library",
                f"its C library is not glibc ({device.os or 'unknown system'})",
                "a Debian, Ubuntu or Raspberry Pi OS is needed",
            )
        )
    else:
        problems.append(
            _problem(
                "C library",
                f"its C library is glibc {device.glibc}, {target.glibc} or newer is needed",
                "upgrade its system",
            )
        )
    missing = sorted(_missing_features(device, target))
    if missing:
        problems.append(
            _problem(
                "processor",
                f"its processor ({device.cpu}) lacks {', '.join(missing)}",
                _build_for(device),
            )
        )
    return problems


def folder_problems(device: Device, needed_bytes: int) -> list[Finding]:
    """Why the device's cache folder cannot hold and start a bundle of that size."""
    # Without a folder the free space is unknown too.
    space_known = device.free_disk_bytes > 0 or not device.write_refusal
    if space_known and device.free_disk_bytes < needed_bytes:
        return [
            _problem(
                "disk",
                f"{needed_bytes / 1e6:.0f} MB are needed in '{device.cache}', "
                f"{device.free_disk_bytes / 1e6:.0f} MB are free",
                "make room there, or choose another folder with --device-folder",
            )
        ]
    elsewhere = "name another folder with --device-folder"
    if device.other_folder:
        elsewhere = f"use another folder: --device-folder {device.other_folder}"
    if device.write_refusal:
        return [
            _problem(
                "work folder",
                f"the folder '{device.cache}' cannot be written: {device.write_refusal}",
                f"make it writable for this user, or {elsewhere}",
            )
        ]
    if device.execute_refusal:
        return [
            _problem(
                "work folder",
                f"programs cannot be started in the folder '{device.cache}': "
                f"{device.execute_refusal}",
                f"it may be mounted noexec: mount it without that option, or {elsewhere}",
            )
        ]
    return []


def fitting_targets(device: Device) -> list[Target]:
    """The targets whose bundles run on the device: first its board's, then its processor's."""
    targets = [load_target(name) for name in target_names() if name != "host"]
    fitting = [
        target
        for target in targets
        if target.architecture == device.arch
        and _has_c_library(device, target)
        and not _missing_features(device, target)
    ]

    def rank(target: Target) -> tuple[bool, bool, int]:
        board = target.description.partition(" (")[0]
        another_processor = target.cpu != device.cpu.lower()
        return not device.board.startswith(board), another_processor, -target.vector_bytes

    return sorted(fitting, key=rank)


def fitting_target(connection: Connection) -> Target:
    """The target that fits a device best; for this machine "host".

    Raises DeviceUnsuitableError where none does.
    """
    if connection.name == LOCAL:
        return load_target("host")
    found = inspect_device(connection)
    targets = fitting_targets(found)
    if not targets:
        raise DeviceUnsuitableError(
            f"no target fits '{found.name}'; 'bitat-deploy doctor' says why, and --target takes a "
            "file of yours"
        )
    return targets[0]


def required_features(target: Target) -> set[str]:
    """The kernel's names of the processor features that code for ``target`` may use."""
    needed = set(target.required)
    names = _FEATURES | ({"neon": "neon"} if target.architecture == _ARM_32 else {})
    for feature in target.features:
        if feature.startswith("+"):
            needed.add(names.get(feature[1:], feature[1:]))
    return needed


def _problem(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.PROBLEM, subject, message, remedy)


def _system(device: Device) -> Finding:
    bits = "64-bit" if device.arch.endswith("64") else "32-bit"
    board = f"{device.board}, " if device.board else ""
    c_library = f"glibc {device.glibc}" if device.glibc else "no glibc"
    what = f"{board}{device.cores} x {device.cpu}, {device.os}, {bits} ({device.arch}), {c_library}"
    if not device.emulated:
        return Finding(Severity.OK, "system", what)
    remedy = "measure times on hardware; answers and memory are right here too"
    return Finding(Severity.WARNING, "system", f"{what}; {EMULATED}", remedy)


def _targets(device: Device, targets: Sequence[Target]) -> list[Finding]:
    problems = {target.name: target_problems(device, target) for target in targets}
    fitting = [name for name, found in problems.items() if not found]
    if fitting:
        return [Finding(Severity.OK, "target", f"bundles for {' and '.join(fitting)} run here")]
    if len(targets) == 1:
        return [replace(problem, subject="target") for problem in problems[targets[0].name]]
    reasons = [f"{name}: {found[0].message}" for name, found in problems.items()]
    return [
        _problem(
            "target",
            f"there is no target for this device ({'; '.join(reasons)})",
            next(iter(problems.values()))[0].remedy if problems else "add one in targets/",
        )
    ]


def _work_folder(device: Device) -> list[Finding]:
    free = f"{device.free_disk_bytes / 1e9:.1f} GB free"
    fine = f"'{device.cache}': can be written, programs start there, {free}"
    return folder_problems(device, _USUAL_BYTES) or [Finding(Severity.OK, "work folder", fine)]


def _features(device: Device) -> set[str]:
    """The processor's features; a 64-bit kernel tells 32-bit programs only some of them."""
    features = set(device.features)
    if device.arch == _ARM_32 and "asimd" in features:
        features |= {"neon", "vfpv4", "idiva"}
    return features


def _has_c_library(device: Device, target: Target) -> bool:
    """Whether there is the one that the target needs; a static bundle brings its own."""
    return target.is_static or (
        bool(device.glibc) and _version(device.glibc) >= _version(target.glibc)
    )


def _missing_features(device: Device, target: Target) -> set[str]:
    return required_features(target) - _features(device)


def _build_for(device: Device) -> str:
    """A remedy: the target that fits best."""
    fitting = fitting_targets(device)
    if not fitting:
        return "none of our targets fits; write one, as docs/guides.md describes"
    return f"build with --target {fitting[0].name}"


def _wrong_architecture(device: Device, target: Target) -> Finding:
    if (device.arch, target.architecture) == (_ARM_32, "aarch64"):
        return _problem(
            "system",
            f"its system is 32-bit ({device.arch}), a 64-bit one ({target.architecture}) is needed",
            f"{_build_for(device)}, or install a 64-bit system",
        )
    if (device.arch, target.architecture) == ("armv6l", _ARM_32):
        return _problem(
            "processor",
            "its processor is an ARMv6 (Raspberry Pi 1 or Zero), which has no vector instructions",
            "a Raspberry Pi 2, 3, 4 or Zero 2 W is needed",
        )
    return _problem(
        "system",
        f"it is {device.arch}, the bundle is for {target.architecture}",
        _build_for(device),
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
