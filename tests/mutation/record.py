"""The record of mutation testing: which mistakes were tried, and whether a test noticed."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant


@dataclass(frozen=True)
class Outcome:
    """A mistake: its line ``before`` and ``after``, unindented, and whether a test noticed it."""

    module: str
    before: str
    after: str
    noticed: bool

    @property
    def change(self) -> tuple[str, str, str]:
        """The mistake, without its line number."""
        return self.module, self.before, self.after

    @property
    def reason(self) -> str:
        """Why the mistake has no effect, if that is known; otherwise empty."""
        return "" if self.noticed else EQUIVALENT.get(self.change, "")

    @property
    def is_open(self) -> bool:
        """Whether no test noticed it, and nobody has said why."""
        return not (self.noticed or self.reason)


def change_of(source: bytes, mutant: Mutant) -> tuple[str, str]:
    """The mutant's line before and after, without indentation; several lines are joined."""
    first = source.rfind(b"\n", 0, mutant.start) + 1
    last = source.find(b"\n", mutant.end)
    before, after = source[first:last], source[first : mutant.start] + mutant.text
    after += source[mutant.end : last]
    return " ".join(before.decode().split()), " ".join(after.decode().split())


def read_record(path: Path) -> list[Outcome]:
    """Outcomes of earlier runs."""
    return [Outcome(**one) for one in json.loads(path.read_text())] if path.exists() else []


def write_record(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write the outcomes, sorted, one per line."""
    lines = [json.dumps(asdict(one)) for one in sorted(outcomes, key=lambda one: one.change)]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def merged(old: Iterable[Outcome], new: Iterable[Outcome], root: Path) -> list[Outcome]:
    """The new outcomes, and the old ones whose line is still in the module below ``root``.

    If a module has the same line several times, one mistake that survived counts for all.
    """
    new = sorted(new, key=lambda one: not one.noticed)
    found = {one.change: one for one in old if _is_there(one, root)}
    return list((found | {one.change: one for one in new}).values())


def _is_there(outcome: Outcome, root: Path) -> bool:
    path = root / outcome.module
    text = " ".join(path.read_text().split()) if path.exists() else ""
    return outcome.before in text
