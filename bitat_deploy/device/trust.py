"""Whether a measured latency is the device's own, or that of its circumstances."""

from bitat_deploy.device.bench_result import Latency
from bitat_deploy.device.health import SINCE_BOOT, Clock, Health, throttle_names
from bitat_deploy.device.inspect import Device

# From here on a result is called not trustworthy.
_FULL_CLOCK_SHARE = 0.9
_CLOSE_TO_LIMIT = 5.0  # degrees Celsius
_OTHERS = 0.25  # cores
_STOLEN = 0.05  # cores
_SPREAD = 1.5  # p99 over median

# What other processes use is known to within the processor time of starting the runner.
_SHORTEST_RUN = 1.0  # seconds


def reasons_for_distrust(
    device: Device, before: Health, after: Health, latency: Latency, runner_seconds: float | None
) -> tuple[str, ...]:
    """Why a latency measured between ``before`` and ``after`` is not to be trusted; mostly empty.

    ``runner_seconds`` is the processor time of the runner itself, None where it does not tell.
    """
    return (
        *_hardware(device),
        *_throttling(before, after),
        *_clock(before, after),
        *_temperature(after),
        *_other_load(before, after, runner_seconds),
        *_spread(latency),
    )


def _hardware(device: Device) -> list[str]:
    return ["the processor is emulated: its times are not those of hardware"] * device.emulated


def _throttling(before: Health, after: Health) -> list[str]:
    if before.throttled is None or after.throttled is None:
        return []
    ever_before, ever_after = before.throttled >> SINCE_BOOT, after.throttled >> SINCE_BOOT
    during = throttle_names(before.throttled | after.throttled | (ever_after & ~ever_before))
    reasons = [f"{', '.join(during)} during the run"] if during else []
    earlier = [name for name in throttle_names(ever_after) if name not in during]
    if earlier:
        # Once seen, it stays marked: nobody knows whether it has happened again.
        reasons.append(
            f"{', '.join(earlier)} since the device was switched on, perhaps during the run too"
        )
    return reasons


def _clock(before: Health, after: Health) -> list[str]:
    clocks = after.fastest_clocks
    if not clocks:
        return []
    reasons = []
    if all(clock.limited for clock in clocks):
        limit = max(clock.limit for clock in clocks)
        reasons.append(f"the clock is limited to {limit:.0f} of {clocks[0].max:.0f} MHz")
    earlier = {clock.cores: clock for clock in before.clocks}
    pairs = [(earlier[clock.cores], clock) for clock in clocks if clock.cores in earlier]
    shares = [clock.share_at_limit(start) for start, clock in pairs]
    known = [share for share in shares if share is not None]
    if known:
        # Of several clocks one is enough: nobody knows which core the run was on.
        if max(known) < _FULL_CLOCK_SHARE:
            reasons.append(
                f"the clock was below its maximum for {1 - max(known):.0%} of the time "
                f"(governor '{clocks[0].governor}')"
            )
    elif pairs:
        reasons += _unrecorded_clock(*pairs[0])
    return reasons


def _unrecorded_clock(before: Clock, after: Clock) -> list[str]:
    """Where the kernel does not count the time at each frequency."""
    if after.governor == "powersave" and not after.adjusts:
        return [f"the governor 'powersave' keeps the clock at {after.min:.0f} MHz"]
    if after.governor == "powersave":
        return []  # the processor itself adjusts its clock, within milliseconds
    if after.adjusts:
        return [f"the governor '{after.governor}' may have changed the clock, nobody counted"]
    if after.now != before.now:
        return [f"the clock changed from {before.now:.0f} to {after.now:.0f} MHz"]
    return []


def _temperature(after: Health) -> list[str]:
    temperature, limit = after.temperature, after.temperature_limit
    if temperature is None or limit is None or temperature < limit - _CLOSE_TO_LIMIT:
        return []
    return [f"it is {temperature:.0f} °C hot, and slows down from {limit:.0f} °C on"]


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
    # A machine with two speeds, such as a virtual one, may hide it from p99 by being slow for long.
    if latency.p50 > _SPREAD * latency.min:
        return [f"the runs differ: the median is {latency.p50 / latency.min:.1f} times the fastest"]
    return []


def _difference(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
