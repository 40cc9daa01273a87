"""Under what conditions a bench ran: clock, temperature, throttling, load."""

from bitat_deploy.device.bench_result import BenchResult
from bitat_deploy.device.health import SINCE_BOOT, Health, throttle_names


def condition_rows(result: BenchResult) -> list[tuple[str, str]]:
    """What and value; without what the device does not tell."""
    before, after = result.health_before, result.health_after
    rows = [("clock", _clock(before, after))]
    if before.temperature is not None and after.temperature is not None:
        rows.append(
            ("temperature", f"{before.temperature:.0f} °C before, {after.temperature:.0f} °C after")
        )
    if before.throttled is not None and after.throttled is not None:
        rows.append(("throttling", _throttling(before.throttled, after.throttled)))
    if before.load is not None:
        rows.append(("load before", f"{before.load:.2f} processes, average of one minute"))
    return [row for row in rows if row[1]]


def _clock(before: Health, after: Health) -> str:
    if not before.fastest_clocks or not after.fastest_clocks:
        return ""
    start, end = before.fastest_clocks[0], after.fastest_clocks[0]
    share = end.share_at_limit(start)
    counted = "" if share is None else f"; {share:.0%} of the time at the maximum"
    return (
        f"{start.now:.0f} MHz before, {end.now:.0f} MHz after ({end.min:.0f} to {end.max:.0f}), "
        f"governor {end.governor or 'unknown'}{counted}"
    )


def _throttling(before: int, after: int) -> str:
    now = throttle_names(before | after)
    earlier = [name for name in throttle_names(after >> SINCE_BOOT) if name not in now]
    parts = [", ".join(now)] if now else []
    parts += [f"since it was switched on: {', '.join(earlier)}"] if earlier else []
    return "; ".join(parts) or "none since it was switched on"
