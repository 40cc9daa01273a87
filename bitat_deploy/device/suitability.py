"""Whether a device can run what was built for a target."""

from bitat_deploy.device.finding import Finding, Severity
from bitat_deploy.device.inspect import Device
from bitat_deploy.errors import DeviceUnsuitableError
from bitat_deploy.target import Target

_ARM_32 = "armv7l"

# LLVM's name of a feature -> the kernel's name in /proc/cpuinfo.
_FEATURES = {
    "neon": "asimd",
    "dotprod": "asimddp",
    "fullfp16": "asimdhp",
    "lse": "atomics",
    "i8mm": "i8mm",
    "sve": "sve",
    "avx512vnni": "avx512_vnni",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
}


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
    """Why the device's processor and system do not run programs for ``target``."""
    if device.arch != target.architecture:
        return [_wrong_architecture(device, target)]
    problems = []
    if target.is_static:
        pass  # it brings its own C library
    elif not device.glibc:
        problems.append(
            Finding(
                Severity.PROBLEM,
                "C library",
                f"its C library is not glibc ({device.os or 'unknown system'})",
                "a Debian, Ubuntu or Raspberry Pi OS is needed",
            )
        )
    elif _version(device.glibc) < _version(target.glibc):
        problems.append(
            Finding(
                Severity.PROBLEM,
                "C library",
                f"its C library is glibc {device.glibc}, {target.glibc} or newer is needed",
                "upgrade its system",
            )
        )
    missing = sorted(required_features(target) - _features(device))
    if missing:
        problems.append(
            Finding(
                Severity.PROBLEM,
                "processor",
                f"its processor ({device.cpu}) lacks {', '.join(missing)}",
                "build for another target",
            )
        )
    return problems


def folder_problems(device: Device, needed_bytes: int) -> list[Finding]:
    """Why the device's cache folder does not hold and start a bundle of that size."""
    # Where there is no folder, how much is free is not known either.
    space_known = device.free_disk_bytes > 0 or not device.write_refusal
    if space_known and device.free_disk_bytes < needed_bytes:
        return [
            Finding(
                Severity.PROBLEM,
                "disk",
                f"{needed_bytes / 1e6:.0f} MB are needed in '{device.cache}', "
                f"{device.free_disk_bytes / 1e6:.0f} MB are free",
                "make room there",
            )
        ]
    if device.write_refusal:
        return [
            Finding(
                Severity.PROBLEM,
                "work folder",
                f"the folder '{device.cache}' cannot be written: {device.write_refusal}",
                "make it writable for this user, or set XDG_CACHE_HOME there to one that is",
            )
        ]
    if device.execute_refusal:
        return [
            Finding(
                Severity.PROBLEM,
                "work folder",
                f"programs cannot be started in the folder '{device.cache}': "
                f"{device.execute_refusal}",
                "it may be mounted noexec: mount it without that option, or set XDG_CACHE_HOME "
                "there to a folder where programs may run",
            )
        ]
    return []


def required_features(target: Target) -> set[str]:
    """The kernel's names of the processor features that code for ``target`` may use."""
    needed = set(target.required)
    names = _FEATURES | ({"neon": "neon"} if target.architecture == _ARM_32 else {})
    for feature in target.features:
        if feature.startswith("+"):
            needed.add(names.get(feature[1:], feature[1:]))
    return needed


def _features(device: Device) -> set[str]:
    """The processor's features; a 64-bit kernel says less than it has to 32-bit programs."""
    features = set(device.features)
    if device.arch == _ARM_32 and "asimd" in features:
        features |= {"neon", "vfpv4", "idiva"}
    return features


def _wrong_architecture(device: Device, target: Target) -> Finding:
    if (device.arch, target.architecture) == (_ARM_32, "aarch64"):
        return Finding(
            Severity.PROBLEM,
            "system",
            f"its system is 32-bit ({device.arch}), a 64-bit one ({target.architecture}) is needed",
            "build with --target rpi-32bit, or install a 64-bit system",
        )
    if (device.arch, target.architecture) == ("armv6l", _ARM_32):
        return Finding(
            Severity.PROBLEM,
            "processor",
            "its processor is an ARMv6 (Raspberry Pi 1 or Zero), which has no vector instructions",
            "a Raspberry Pi 2, 3, 4 or Zero 2 W is needed",
        )
    return Finding(
        Severity.PROBLEM,
        "system",
        f"it is {device.arch}, the bundle is for {target.architecture}",
        "build for a target that fits",
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
