"""Whether a device can run what was built for a target."""

from bitat_deploy.device.inspect import Device
from bitat_deploy.errors import DeviceUnsuitableError
from bitat_deploy.target import Target

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

# What LLVM takes for granted with a processor, in the kernel's names.
_IMPLIED = {
    "cortex-a53": ("asimd", "crc32"),
    "cortex-a72": ("asimd", "crc32"),
    "cortex-a76": ("asimd", "crc32", "atomics", "asimdhp", "asimddp"),
    "haswell": ("avx2", "fma", "bmi2"),
    "skylake-avx512": ("avx2", "fma", "bmi2", "avx512f", "avx512bw", "avx512vl", "avx512dq"),
}


def check_suitable(device: Device, target: Target, needed_bytes: int) -> None:
    """Raise DeviceUnsuitableError unless the device can run a bundle for ``target``.

    ``needed_bytes`` is what may have to be stored there.
    """
    prefix = f"'{device.name}' cannot run a bundle for '{target.name}':"
    if device.arch != target.architecture:
        raise DeviceUnsuitableError(f"{prefix} {_wrong_architecture(device, target)}")
    if not device.glibc:
        raise DeviceUnsuitableError(
            f"{prefix} its C library is not glibc ({device.os or 'unknown system'}); "
            "a Debian, Ubuntu or Raspberry Pi OS is needed"
        )
    if _version(device.glibc) < _version(target.glibc):
        raise DeviceUnsuitableError(
            f"{prefix} its C library is glibc {device.glibc}, {target.glibc} or newer is needed; "
            "upgrade its system"
        )
    missing = sorted(required_features(target) - device.features)
    if missing:
        raise DeviceUnsuitableError(
            f"{prefix} its processor ({device.cpu}) lacks {', '.join(missing)}; "
            "build for another target"
        )
    if device.free_disk_bytes < needed_bytes:
        raise DeviceUnsuitableError(
            f"{prefix} {needed_bytes / 1e6:.0f} MB are needed in '{device.cache}', "
            f"{device.free_disk_bytes / 1e6:.0f} MB are free; make room there"
        )


def required_features(target: Target) -> set[str]:
    """The kernel's names of the processor features that code for ``target`` may use."""
    needed = set(_IMPLIED.get(target.cpu, ()))
    for feature in target.features:
        if feature.startswith("+"):
            needed.add(_FEATURES.get(feature[1:], feature[1:]))
    return needed


def _wrong_architecture(device: Device, target: Target) -> str:
    if (device.arch, target.architecture) == ("armv7l", "aarch64"):
        return (
            f"its system is 32-bit ({device.arch}), a 64-bit one ({target.architecture}) is "
            "needed; install a 64-bit system"
        )
    return (
        f"it is {device.arch}, the bundle is for {target.architecture}; "
        "build for a target that fits"
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
