"""Whether times of a device would be worth anything, before any is taken."""

from bitat_deploy.device.health import Health, throttle_names
from bitat_deploy.device.inspect import Device
from bitat_deploy.device.suitability import check_suitable
from bitat_deploy.errors import DeviceUnsuitableError
from bitat_deploy.target import Target

_NEEDED_BYTES = 30_000_000  # program, TVM's libraries, a batch
_CLOSE_TO_LIMIT = 5.0  # degrees Celsius


def check_worthwhile(device: Device, health: Health, target: Target, *, force: bool) -> None:
    """Raise DeviceUnsuitableError where the device cannot run the target's code, or, unless
    ``force``, where its times would be those of its circumstances.
    """
    check_suitable(device, target, _NEEDED_BYTES)
    reasons = _reasons(health)
    if reasons and not force:
        raise DeviceUnsuitableError(
            f"times of '{device.name}' would be worthless: {'; '.join(reasons)}; "
            f"'bitat-deploy doctor --host {device.name}' has the remedies, --force measures "
            "nevertheless"
        )


def _reasons(health: Health) -> list[str]:
    reasons = []
    if health.throttled is not None and (now := throttle_names(health.throttled)):
        reasons.append(f"its firmware reports {', '.join(now)}")
    for clock in health.fastest_clocks[:1]:
        if clock.limited:
            reasons.append(f"its clock is limited to {clock.limit:.0f} of {clock.max:.0f} MHz")
        elif clock.governor == "powersave" and not clock.adjusts:
            reasons.append(f"the governor 'powersave' keeps its clock at {clock.min:.0f} MHz")
    temperature, limit = health.temperature, health.temperature_limit
    if temperature is not None and limit is not None and temperature >= limit - _CLOSE_TO_LIMIT:
        reasons.append(f"it is {temperature:.0f} °C hot, and slows down from {limit:.0f} °C on")
    return reasons
