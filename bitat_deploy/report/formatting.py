"""Numbers with their units."""

from collections.abc import Mapping
from typing import Any

from rich import filesize

from bitat_deploy.device import HEADLINES, MEDIAN


def byte_size(count: float) -> str:
    """Bytes with a decimal prefix: "400 bytes", "12.34 kB", "1.23 GB"."""
    return filesize.decimal(round(count), precision=2)


def duration(milliseconds: float) -> str:
    """Milliseconds, below a tenth of one microseconds, never finer than a tenth of those."""
    if milliseconds >= 100:
        return f"{milliseconds:,.0f} ms"
    if milliseconds >= 10:
        return f"{milliseconds:.2f} ms"
    return f"{milliseconds:.3f} ms" if milliseconds >= 0.1 else f"{1e3 * milliseconds:.1f} µs"


def microseconds(milliseconds: float) -> str:
    """Microseconds with about three digits and without the unit."""
    value = 1e3 * milliseconds
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percentage(fraction: float) -> str:
    """A share of 1 in percent, with two decimals."""
    return f"{fraction:.2%}"


def thread_count(threads: int) -> str:
    """ "1 thread", "4 threads"."""
    return f"{threads} thread{'' if threads == 1 else 's'}"


def headline(latency: Mapping[str, Any]) -> tuple[float, str]:
    """The latency to report, in milliseconds, and the name of the statistic."""
    field, words = HEADLINES[latency.get("rule", MEDIAN)]
    return latency[field], words
