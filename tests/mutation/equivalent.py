"""Mistakes that no test can notice, as they change no result."""

# module, line before and after: why.
EQUIVALENT: dict[tuple[str, str, str], str] = {}
