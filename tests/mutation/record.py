"""What became of every mistake that was tried, and the tables about that."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant
from tests.mutation.targets import TARGETS

BEGIN, END = "<!-- written by scripts/mutate -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Outcome:
    """A mistake: its line ``before`` and ``after``, without indentation; whether a test failed."""

    module: str
    before: str
    after: str
    noticed: bool

    @property
    def change(self) -> tuple[str, str, str]:
        """What the mistake is, wherever its line stands."""
        return self.module, self.before, self.after

    @property
    def reason(self) -> str:
        """Why it makes no difference, if somebody found that; otherwise empty."""
        return "" if self.noticed else EQUIVALENT.get(self.change, "")

    @property
    def is_open(self) -> bool:
        """Whether a test is missing, or nobody has found out yet."""
        return not (self.noticed or self.reason)


def change_of(source: bytes, mutant: Mutant) -> tuple[str, str]:
    """The mutant's line before and after, without indentation; several lines in one."""
    first = source.rfind(b"\n", 0, mutant.start) + 1
    last = source.find(b"\n", mutant.end)
    before, after = source[first:last], source[first : mutant.start] + mutant.text
    after += source[mutant.end : last]
    return " ".join(before.decode().split()), " ".join(after.decode().split())


def read_record(path: Path) -> list[Outcome]:
    """Outcomes of earlier runs."""
    return [Outcome(**one) for one in json.loads(path.read_text())] if path.exists() else []


def write_record(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Sorted, one in a line."""
    lines = [json.dumps(asdict(one)) for one in sorted(outcomes, key=lambda one: one.change)]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def merged(old: Iterable[Outcome], new: Iterable[Outcome], root: Path) -> list[Outcome]:
    """The new ones, and the old ones whose line is still in the module below ``root``.

    Of lines that read alike, one that survived stands for all.
    """
    new = sorted(new, key=lambda one: not one.noticed)
    found = {one.change: one for one in old if _is_there(one, root)}
    return list((found | {one.change: one for one in new}).values())


def _is_there(outcome: Outcome, root: Path) -> bool:
    path = root / outcome.module
    text = " ".join(path.read_text().split()) if path.exists() else ""
    return outcome.before in text


def with_tables(page: str, outcomes: Iterable[Outcome]) -> str:
    """The page with its tables written anew."""
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return head + BEGIN + _tables(list(outcomes)) + END + tail


def _tables(outcomes: list[Outcome]) -> str:
    lines = ["", "| module | tried | noticed | no difference | open |", "|---|--:|--:|--:|--:|"]
    for module in sorted({one.module for one in outcomes}):
        lines.append(_row(f"`{module}`", [one for one in outcomes if one.module == module]))
    lines.append(_row("all", outcomes))
    untried = sorted(set(TARGETS) - {one.module for one in outcomes})
    if untried:
        lines += ["", f"Not tried yet: {', '.join(map(_code, untried))}."]
    survivors = sorted((one for one in outcomes if not one.noticed), key=lambda one: one.change)
    lines += ["", "Those that no test notices:", "", "| module | before | after | why |"]
    lines.append("|---|---|---|---|")
    for one in survivors:
        module, before, after = (_code(word) for word in (one.module, one.before, one.after))
        lines.append(f"| {module} | {before} | {after} | {one.reason or 'open'} |")
    return "\n".join(lines) + "\n\n"


def _row(name: str, outcomes: list[Outcome]) -> str:
    counts = (
        len(outcomes),
        sum(one.noticed for one in outcomes),
        sum(bool(one.reason) for one in outcomes),
        sum(one.is_open for one in outcomes),
    )
    return f"| {name} | {' | '.join(map(str, counts))} |"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"
