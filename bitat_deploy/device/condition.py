"""The one judge of a device's condition: what makes measured times worthless or doubtful.

``doctor`` shows all that is found, ``tune`` refuses a device whose times would be worthless, and a
report says why its times are doubtful. Limits, sentences and remedies stand here only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bitat_deploy.device.bench_result import Latency
from bitat_deploy.device.health import SINCE_BOOT, Clock, Health, throttle_names
from bitat_deploy.device.inspect import Device

# The state of a device at one moment.
_HOT = 5.0  # degrees Celsius below the limit: times are worthless
_WARM = 15.0  # degrees Celsius below the limit: a bench may heat the processor up to it
_MUCH_LOAD = 0.5  # running processes
_LITTLE_MEMORY = 100_000_000  # bytes
_MUCH_SKEW = 60  # seconds

# The difference that a run made.
_FULL_CLOCK_SHARE = 0.9  # of the run's time
_OTHERS = 0.25  # cores that other processes used
_STOLEN = 0.05  # cores that the host of a virtual machine withheld
_SPREAD = 1.5  # p99 over median, median over fastest
# In a shorter run, starting the runner counts as much as what other processes used.
_SHORTEST_RUN = 1.0  # seconds

EMULATED = "the processor is emulated: its times are not those of hardware"

_FULL_SPEED = (
    "until the next boot: echo performance | "
    "sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
)
_LIFT_LIMIT = (
    "until the next boot: for p in /sys/devices/system/cpu/cpufreq/policy*; do "
    "sudo cp $p/cpuinfo_max_freq $p/scaling_max_freq; done"
)


class Severity(Enum):
    """How bad a finding is for a bench.

    ``WARNING``: times may be wrong. ``WORTHLESS``: times measured now would be wrong.
    ``PROBLEM``: the bench cannot run.
    """

    OK = "ok"
    WARNING = "warning"
    WORTHLESS = "worthless"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One finding about a device; ``remedy`` says what to do, and is empty if all is well."""

    severity: Severity
    subject: str
    message: str
    remedy: str = ""


def examine(health: Health) -> list[Finding]:
    """Judge the state of a device at this moment; every subject is covered, good or bad."""
    return [
        _memory(health),
        _clock(health.fastest_clocks),
        _temperature(health),
        *(_throttling(health, health, "now") or [_no_throttling(health)]),
        _load(health),
        _time(health),
    ]


def reasons_for_distrust(
    device: Device, before: Health, after: Health, latency: Latency, runner_seconds: float | None
) -> tuple[str, ...]:
    """Why a latency measured between ``before`` and ``after`` is doubtful; usually empty.

    ``runner_seconds`` is the processor time of the runner, or None if unknown.
    """
    hot = _temperature(after)
    return (
        *[EMULATED] * device.emulated,
        *_messages(_throttling(before, after, "during the run")),
        *_clock_changes(before, after),
        *_messages([hot] * (hot.severity is Severity.WORTHLESS)),
        *_other_load(before, after, runner_seconds),
        *_spread(latency),
    )


def _messages(findings: Sequence[Finding]) -> list[str]:
    return [finding.message for finding in findings]


def _ok(subject: str, message: str) -> Finding:
    return Finding(Severity.OK, subject, message)


def _memory(health: Health) -> Finding:
    free = health.free_memory_bytes
    if free is None:
        return _ok("memory", "the system does not say how much is free")
    if free < _LITTLE_MEMORY:
        message = f"only {free / 1e6:.0f} MB are free"
        remedy = "end other programs, or the system may kill the bench"
        return Finding(Severity.WARNING, "memory", message, remedy)
    return _ok("memory", f"{free / 1e6:.0f} MB free")


def _clock(clocks: Sequence[Clock]) -> Finding:
    if not clocks:
        return _ok("clock", "not controlled by this system, as usual in a virtual machine")
    clock = clocks[0]
    recorded = bool(clock.seconds_at)
    for finding in [*_limited(clocks), *_governor(clock, recorded=recorded)]:
        return finding
    state = f"{clock.now:.0f} MHz now, {clock.min:.0f} to {clock.max:.0f}, "
    state += f"governor '{clock.governor}'"
    if clock.adjusts and recorded:
        state += "; a bench checks that it stays at the maximum"
    return _ok("clock", state)


def _limited(clocks: Sequence[Clock]) -> list[Finding]:
    if not clocks or not all(clock.limited for clock in clocks):
        return []
    limit = max(clock.limit for clock in clocks)
    message = f"the clock is limited to {limit:.0f} of {clocks[0].max:.0f} MHz"
    return [Finding(Severity.WORTHLESS, "clock", message, _LIFT_LIMIT)]


def _governor(clock: Clock, *, recorded: bool) -> list[Finding]:
    """``recorded``: the kernel counts the time at each frequency."""
    if clock.held_low:
        message = f"the governor '{clock.governor}' keeps the clock at {clock.now:.0f} MHz"
        return [Finding(Severity.WORTHLESS, "clock", message, _FULL_SPEED)]
    # A processor that adjusts its own clock does so within milliseconds.
    if clock.adjusts and not clock.adjusts_itself and not recorded:
        message = (
            f"the governor '{clock.governor}' may change the clock during a run, and this system "
            "does not record when"
        )
        return [Finding(Severity.WARNING, "clock", message, _FULL_SPEED)]
    return []


def _clock_changes(before: Health, after: Health) -> list[str]:
    clocks = after.fastest_clocks
    reasons = _messages(_limited(clocks))
    earlier = {clock.cores: clock for clock in before.clocks}
    pairs = [(earlier[clock.cores], clock) for clock in clocks if clock.cores in earlier]
    shares = [clock.share_at_limit(start) for start, clock in pairs]
    known = [share for share in shares if share is not None]
    if known:
        # One of several clocks is enough: the core of the run is unknown.
        if max(known) < _FULL_CLOCK_SHARE:
            reasons.append(
                f"the clock was below its maximum for {1 - max(known):.0%} of the time "
                f"(governor '{clocks[0].governor}')"
            )
    elif pairs:
        start, clock = pairs[0]
        doubts = _messages(_governor(clock, recorded=False))
        if not doubts and not clock.adjusts and clock.now != start.now:
            doubts = [f"the clock changed from {start.now:.0f} to {clock.now:.0f} MHz"]
        reasons += doubts
    return reasons


def _temperature(health: Health) -> Finding:
    temperature, limit = health.temperature, health.temperature_limit
    if temperature is None:
        return _ok("temperature", "the system has no sensor")
    message = f"the processor is at {temperature:.0f} °C"
    if limit is None:
        return _ok("temperature", message)
    message += f" and slows down from {limit:.0f} °C on"
    if temperature < limit - _WARM:
        return _ok("temperature", message)
    severity = Severity.WARNING if temperature < limit - _HOT else Severity.WORTHLESS
    return Finding(severity, "temperature", message, "let it cool down; add a heat sink or a fan")


def _throttling(before: Health, after: Health, when: str) -> list[Finding]:
    """What the firmware reports of the time from ``before`` to ``after``, and since boot."""
    if before.throttled is None or after.throttled is None:
        return []
    ever_before, ever = before.throttled >> SINCE_BOOT, after.throttled >> SINCE_BOOT
    during = throttle_names(before.throttled | after.throttled | (ever & ~ever_before))
    earlier = [name for name in throttle_names(ever) if name not in during]
    findings = []
    if during:
        findings.append(_throttled(Severity.WORTHLESS, during, when))
    if earlier:
        # The mark stays until the next boot: a repetition would not show.
        again = "" if before is after else f", perhaps {when} too"
        since = f"since the device was switched on{again}"
        findings.append(_throttled(Severity.WARNING, earlier, since))
    return findings


def _throttled(severity: Severity, names: Sequence[str], when: str) -> Finding:
    remedies = []
    if "under-voltage" in names:
        remedies.append("use the board's own power supply and a short, thick cable")
    if any(name != "under-voltage" for name in names):
        remedies.append("cool it")
    remedy = f"{', '.join(remedies)}, then reboot to clear the marks"
    return Finding(severity, "power", f"{', '.join(names)} {when}", remedy)


def _no_throttling(health: Health) -> Finding:
    if health.throttled is None:
        return _ok("power", "not reported by this system (a Raspberry Pi's does)")
    return _ok("power", "neither under-voltage nor throttling since the device was switched on")


def _load(health: Health) -> Finding:
    if health.load is None:
        return _ok("load", "not reported by this system")
    message = f"{health.load:.2f} running processes on average over the last minute"
    if health.load <= _MUCH_LOAD:
        return _ok("load", message)
    remedy = "end what runs there (top shows it), or wait a minute"
    return Finding(Severity.WARNING, "load", message, remedy)


def _time(health: Health) -> Finding:
    skew = abs(health.clock_skew)
    if skew <= _MUCH_SKEW:
        return _ok("time", "its clock and this machine's agree")
    direction = "ahead of" if health.clock_skew > 0 else "behind"
    message = f"its clock is {_duration(skew)} {direction} this machine's"
    remedy = "switch on time synchronisation there: sudo timedatectl set-ntp true"
    return Finding(Severity.WARNING, "time", message, remedy)


def _duration(seconds: int) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds} seconds"


def _other_load(before: Health, after: Health, runner_seconds: float | None) -> list[str]:
    wall = _difference(before.uptime_seconds, after.uptime_seconds)
    if wall is None or wall < _SHORTEST_RUN:
        return []
    reasons = []
    busy = _difference(before.busy_seconds, after.busy_seconds)
    if busy is not None and runner_seconds is not None:
        others = (busy - runner_seconds) / wall
        if others > _OTHERS:
            reasons.append(f"other processes used {others:.1f} cores during the run")
    stolen = (_difference(before.stolen_seconds, after.stolen_seconds) or 0.0) / wall
    if stolen > _STOLEN:
        reasons.append(f"the host of this virtual machine withheld {stolen:.2f} cores from it")
    return reasons


def _spread(latency: Latency) -> list[str]:
    if latency.p99 > _SPREAD * latency.p50:
        return [f"the runs differ: p99 is {latency.p99 / latency.p50:.1f} times the median"]
    # A machine that is slow for long, such as a virtual one, shows no difference in p99.
    if latency.p50 > _SPREAD * latency.min:
        return [f"the runs differ: the median is {latency.p50 / latency.min:.1f} times the fastest"]
    return []


def _difference(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
