"""A Raspberry Pi 4 in good health, and whatever a test changes about it."""

from dataclasses import replace
from typing import Any

from bitat_deploy.device.bench_result import Latency
from bitat_deploy.device.health import Clock, Health
from bitat_deploy.device.inspect import Device

DEVICE = Device(
    name="pi@device",
    arch="aarch64",
    cpu="Cortex-A72",
    features=frozenset({"asimd", "crc32", "fp"}),
    board="Raspberry Pi 4 Model B Rev 1.5",
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="Linux 6.12.34+rpt-rpi-v8",
    glibc="2.36",
    cores=4,
    memory_bytes=4_000_000_000,
    free_disk_bytes=20_000_000_000,
    governor="ondemand",
    emulated=False,
    cache="/home/pi/.cache",
)

CLOCK = Clock(
    cores=(0, 1, 2, 3),
    now=600,
    min=600,
    max=1500,
    limit=1500,
    governor="ondemand",
    driver="cpufreq-dt",
    seconds_at=((600, 3000), (1500, 600)),
)

HEALTH = Health(
    clocks=(CLOCK,),
    temperature=48,
    temperature_limit=80,
    throttled=0,
    load=0.1,
    free_memory_bytes=2_000_000_000,
    clock_skew=0,
    uptime_seconds=3600,
    busy_seconds=500,
    stolen_seconds=0,
)

LATENCY = Latency(
    mean=1, std=0.01, min=0.99, p50=1, p90=1.01, p99=1.02, max=1.1, runs=1000, warmup=10
)


def health(**changes: Any) -> Health:
    """``HEALTH``; what is a field of Clock changes its clock."""
    clock = {name: changes.pop(name) for name in list(changes) if name in Clock.__annotations__}
    return replace(HEALTH, **{"clocks": (replace(CLOCK, **clock),), **changes})


def health_after_run(**changes: Any) -> Health:
    """``HEALTH`` after ten seconds of a run at full clock on one core."""
    return health(
        **{
            "seconds_at": ((600, 3000.1), (1500, 609.9)),
            "uptime_seconds": 3610,
            "busy_seconds": 510.5,
            "temperature": 55,
            **changes,
        }
    )
