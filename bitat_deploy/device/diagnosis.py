"""What a device's owner should know before a bench, with the remedy."""

from collections.abc import Sequence
from dataclasses import replace

from bitat_deploy.device.finding import Finding, Severity
from bitat_deploy.device.health import SINCE_BOOT, Clock, Health, throttle_names
from bitat_deploy.device.inspect import Device
from bitat_deploy.device.suitability import folder_problems, target_problems
from bitat_deploy.target import Target

# A bundle with its runtime and the images of a test set.
_USUAL_BYTES = 50_000_000
_USUAL_MEMORY = 100_000_000

_CLOSE_TO_LIMIT = 15.0  # degrees Celsius; a bench adds some
_MUCH_LOAD = 0.5  # processes that run besides
_MUCH_SKEW = 60  # seconds

_PERFORMANCE = (
    "until the next boot: echo performance | "
    "sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
)


def diagnose(device: Device, health: Health, targets: Sequence[Target]) -> list[Finding]:
    """All that was looked at, in the order to read it in.

    ``targets`` is what to build for: where it is several, one that fits is enough.
    """
    return [
        _system(device),
        *_targets(device, targets),
        *_work_folder(device),
        _memory(health),
        _clock(health),
        _temperature(health),
        _power(health),
        _load(health),
        _time(health),
    ]


def _ok(subject: str, message: str) -> Finding:
    return Finding(Severity.OK, subject, message)


def _warning(subject: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, subject, message, remedy)


def _system(device: Device) -> Finding:
    bits = "64-bit" if device.arch.endswith("64") else "32-bit"
    board = f"{device.board}, " if device.board else ""
    c_library = f"glibc {device.glibc}" if device.glibc else "no glibc"
    what = f"{board}{device.cores} x {device.cpu}, {device.os}, {bits} ({device.arch}), {c_library}"
    if device.emulated:
        return _warning(
            "system",
            f"{what}; the processor is emulated",
            "answers and memory are real, times are not: measure those on hardware",
        )
    return _ok("system", what)


def _targets(device: Device, targets: Sequence[Target]) -> list[Finding]:
    problems = {target.name: target_problems(device, target) for target in targets}
    fitting = [name for name, found in problems.items() if not found]
    if fitting:
        return [_ok("target", f"bundles for {' and '.join(fitting)} run here")]
    if len(targets) == 1:
        return [replace(problem, subject="target") for problem in problems[targets[0].name]]
    reasons = [f"{name}: {found[0].message}" for name, found in problems.items()]
    return [
        Finding(
            Severity.PROBLEM,
            "target",
            f"there is no target for this device ({'; '.join(reasons)})",
            next(iter(problems.values()))[0].remedy if problems else "add one in targets/",
        )
    ]


def _work_folder(device: Device) -> list[Finding]:
    free = f"{device.free_disk_bytes / 1e9:.1f} GB free"
    return folder_problems(device, _USUAL_BYTES) or [
        _ok("work folder", f"'{device.cache}': can be written, programs start there, {free}")
    ]


def _memory(health: Health) -> Finding:
    free = health.free_memory_bytes
    if free is None:
        return _ok("memory", "the system does not tell how much is free")
    if free < _USUAL_MEMORY:
        return _warning(
            "memory",
            f"only {free / 1e6:.0f} MB are free",
            "end other programs, lest the system end the bench",
        )
    return _ok("memory", f"{free / 1e6:.0f} MB free")


def _clock(health: Health) -> Finding:
    if not health.fastest_clocks:
        return _ok("clock", "not under this system's control, as usual in a virtual machine")
    clock = health.fastest_clocks[0]
    state = f"{clock.now:.0f} MHz now, {clock.min:.0f} to {clock.max:.0f}, "
    state += f"governor '{clock.governor}'"
    if clock.limited:
        return _warning(
            "clock",
            f"{state}; limited to {clock.limit:.0f} MHz",
            "until the next boot: for p in /sys/devices/system/cpu/cpufreq/policy*; do "
            "sudo cp $p/cpuinfo_max_freq $p/scaling_max_freq; done",
        )
    if _held_low(clock):
        return _warning("clock", f"{state}, which keeps it low", _PERFORMANCE)
    if clock.adjusts and not clock.seconds_at:
        return _warning("clock", f"{state}, which changes it as it sees fit", _PERFORMANCE)
    if clock.adjusts:
        return _ok("clock", f"{state}; a bench checks that it stays at the maximum")
    return _ok("clock", state)


def _held_low(clock: Clock) -> bool:
    fixed = clock.governor in ("powersave", "userspace") and not clock.adjusts
    return fixed and clock.now < clock.max


def _temperature(health: Health) -> Finding:
    if health.temperature is None:
        return _ok("temperature", "no sensor that the system knows of")
    what = f"{health.temperature:.0f} °C"
    if health.temperature_limit is None:
        return _ok("temperature", what)
    what += f", slows down from {health.temperature_limit:.0f} °C on"
    if health.temperature >= health.temperature_limit - _CLOSE_TO_LIMIT:
        return _warning("temperature", what, "let it cool down; give it a heat sink or a fan")
    return _ok("temperature", what)


def _power(health: Health) -> Finding:
    if health.throttled is None:
        return _ok("power", "not told by this system (a Raspberry Pi's would)")
    now = throttle_names(health.throttled)
    earlier = [name for name in throttle_names(health.throttled >> SINCE_BOOT) if name not in now]
    if not now and not earlier:
        return _ok("power", "neither under-voltage nor throttling since it was switched on")
    parts = [f"now: {', '.join(now)}"] if now else []
    parts += [f"since it was switched on: {', '.join(earlier)}"] if earlier else []
    remedies = []
    if "under-voltage" in now + earlier:
        remedies.append("use the board's own power supply and a short, thick cable")
    if any(name != "under-voltage" for name in now + earlier):
        remedies.append("cool it")
    return _warning(
        "power", "; ".join(parts), f"{', '.join(remedies)}, then reboot to clear the marks"
    )


def _load(health: Health) -> Finding:
    if health.load is None:
        return _ok("load", "the system does not tell")
    what = f"{health.load:.2f} processes ran on average in the last minute"
    if health.load > _MUCH_LOAD:
        return _warning("load", what, "end what runs there (top shows it), or wait a minute")
    return _ok("load", what)


def _time(health: Health) -> Finding:
    if abs(health.clock_skew) <= _MUCH_SKEW:
        return _ok("time", "its clock and this machine's agree")
    direction = "ahead of" if health.clock_skew > 0 else "behind"
    return _warning(
        "time",
        f"its clock is {_duration(abs(health.clock_skew))} {direction} this machine's",
        "switch on time synchronisation there: sudo timedatectl set-ntp true",
    )


def _duration(seconds: int) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds} seconds"
