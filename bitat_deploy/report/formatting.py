"""Numbers with their units."""

from rich import filesize


def byte_size(count: float) -> str:
    """Bytes with a decimal prefix: "400 bytes", "12.34 kB", "1.23 GB"."""
    return filesize.decimal(round(count), precision=2)


def duration(milliseconds: float) -> str:
    """Milliseconds, never finer than a tenth of a microsecond."""
    if milliseconds >= 100:
        return f"{milliseconds:,.0f} ms"
    if milliseconds >= 10:
        return f"{milliseconds:.2f} ms"
    return f"{milliseconds:.3f} ms" if milliseconds >= 0.1 else f"{milliseconds:.4f} ms"


def percentage(fraction: float) -> str:
    """A share of 1 in percent, with two decimals."""
    return f"{fraction:.2%}"
