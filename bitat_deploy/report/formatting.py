"""Numbers as people read them."""

from rich import filesize


def byte_size(count: float) -> str:
    """Bytes with a decimal prefix: "400 bytes", "12.34 kB", "1.23 GB"."""
    return filesize.decimal(round(count), precision=2)


def duration(milliseconds: float) -> str:
    """Milliseconds with what is worth reading of them: never more than microseconds' tenths."""
    if milliseconds >= 100:
        return f"{milliseconds:,.0f} ms"
    if milliseconds >= 10:
        return f"{milliseconds:.2f} ms"
    return f"{milliseconds:.3f} ms" if milliseconds >= 0.1 else f"{milliseconds:.4f} ms"


def percentage(fraction: float) -> str:
    """A share of 1 in percent, with two decimals."""
    return f"{fraction:.2%}"


def logits_in_words(equal: bool, tolerance: float) -> str:
    """How the logits compare with the reference's."""
    if not equal:
        return "NOT equal"
    if not tolerance:
        return "equal, bit for bit"
    return f"equal within {tolerance:g} of the largest (float32)"
