"""How long work tells that it goes on."""

from collections.abc import Callable

# Called with the stage, how much of it is done, and how much there is (0: unknown).
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """A Progress that tells nobody."""
