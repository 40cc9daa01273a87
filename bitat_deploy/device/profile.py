"""The time of each layer of a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitat_deploy.compiler import LayerReport, layer_symbols
from bitat_deploy.device.health import Health
from bitat_deploy.errors import RunFailedError

# Clocks are rounded, and a run has a start and an end: this close counts as steady.
_STEADY = 0.98


@dataclass(frozen=True)
class LayerTime:
    """One layer's time in a run of one image.

    ``ms`` is the median over the profiled runs, ``share`` its fraction of all layers' sum.
    ``macs_per_cycle`` counts multiply-accumulates for each cycle of the clock, by all threads
    together; None where the clock was unknown or not steady.
    """

    layer: LayerReport
    ms: float
    share: float
    macs_per_cycle: float | None

    @property
    def macs_per_second(self) -> float:
        """Multiply-accumulates for each second."""
        return self.layer.macs / self.ms * 1e3 if self.ms > 0 else 0.0


def layer_times(
    layers: Sequence[LayerReport],
    measured: Sequence[Mapping[str, Any]],
    megahertz: float | None,
    batch: int = 1,
) -> tuple[LayerTime, ...]:
    """The time of each layer for one image, from the runner's ``layers_ns`` for ``batch`` images.

    ``megahertz`` is the clock that :func:`steady_clock` found. Raises RunFailedError if
    ``measured`` is of another network than ``layers``.
    """
    if [entry["name"] for entry in measured] != layer_symbols([layer.name for layer in layers]):
        raise RunFailedError(
            "the profile names other layers than the bundle's manifest; build the bundle again"
        )
    total = sum(entry["ns"] for entry in measured)
    times = []
    for layer, entry in zip(layers, measured, strict=True):
        nanoseconds = entry["ns"] / batch
        cycles = nanoseconds * megahertz / 1e3 if megahertz is not None else 0.0
        times.append(
            LayerTime(
                layer=layer,
                ms=nanoseconds / 1e6,
                share=entry["ns"] / total if total else 0.0,
                macs_per_cycle=layer.macs / cycles if cycles else None,
            )
        )
    return tuple(times)


def steady_clock(before: Health, after: Health) -> float | None:
    """The clock in MHz between ``before`` and ``after``; None if it changed or is unknown."""
    clocks = after.fastest_clocks
    earlier = {clock.cores: clock for clock in before.clocks}
    found: set[float | None] = set()
    for clock in clocks:
        start = earlier.get(clock.cores)
        if start is None:
            return None
        share = clock.share_at_limit(start)
        if share is not None:
            found.add(clock.limit if share >= _STEADY else None)
        elif clock.adjusts or min(clock.now, start.now) < _STEADY * max(clock.now, start.now):
            found.add(None)
        else:
            found.add(clock.now)
    return found.pop() if len(found) == 1 else None
