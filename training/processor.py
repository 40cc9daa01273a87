"""What the system tells of the processor."""

import platform
from pathlib import Path


def processor_name() -> str:
    """The processor's model name, as far as the system tells."""
    lines = _lines(("model name",))
    return next(iter(lines), platform.processor() or platform.machine())


def processor_features() -> frozenset[str]:
    """The names of its instruction sets, as Linux has them; elsewhere none."""
    return frozenset(next(iter(_lines(("flags", "Features"))), "").split())


def _lines(names: tuple[str, ...]) -> list[str]:
    """What /proc/cpuinfo says of them, for each core."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(names)]
