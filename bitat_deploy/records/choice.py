"""Choosing a schedule by the tuning records.

Records are in ``targets/records/<target>.jsonl``, which ships, and in the user's own file of the
same name. A candidate's time counts as a share of the time that the default schedule took in the
same batch on the same device, so that records of a warm board and of a cool one, or of two boards,
can be compared.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Protocol

from bitat_deploy.records.files import own_records_path, read_records, shipped_records_path
from bitat_deploy.records.record import DEFAULT, DEVICE, EMULATED, LOCAL, OK, Record, schedule_key
from bitat_deploy.target import Target


class Tunable(Protocol):
    """An operator, as far as the choice of its schedule needs it."""

    @property
    def workload(self) -> str:
        """The key of its records."""

    def space(self) -> tuple[Any, ...]:
        """All its schedules."""

    @property
    def default_schedule(self) -> Any:
        """The schedule that it has without records."""


@dataclass(frozen=True)
class Choice:
    """The schedule for a layer (None: the default), and the source of the record it is from."""

    schedule: Any
    origin: str


class Records:
    """Records of one target, the shipped ones and the user's own."""

    def __init__(self, shipped: Iterable[Record] = (), own: Iterable[Record] = ()) -> None:
        self._best: dict[str, dict[tuple[str, str], tuple[int, Record]]] = {}
        for mine, records in ((False, shipped), (True, own)):
            for record in records:
                self._add(record, mine)

    def _add(self, record: Record, mine: bool) -> None:
        rank = _rank(record, mine)
        if rank is None:
            return
        candidates = self._best.setdefault(record.workload, {})
        key = (record.schedule, record.default)
        known = candidates.get(key)
        # Of records of equal rank the last one is the newest.
        if known is None or rank >= known[0]:
            candidates[key] = (rank, record)

    def workloads(self) -> set[str]:
        """Workloads with usable records."""
        return set(self._best)

    def choose(self, operator: Tunable) -> Choice | None:
        """The fastest schedule that the operator's space still has; None without records.

        Times measured on a device count before modelled ones, the user's own before shipped ones.
        """
        candidates = self._best.get(operator.workload)
        if not candidates:
            return None
        space, default = operator.space(), [operator.default_schedule]
        usable = []
        for rank, record in candidates.values():
            if find_schedule(record.default, default) is None:
                continue
            found = find_schedule(record.schedule, space)
            if found is not None or record.schedule == DEFAULT:
                usable.append((rank, record, found))
        if not usable:
            return None
        highest = max(rank for rank, _, _ in usable)
        _, best, schedule = min(
            (entry for entry in usable if entry[0] == highest), key=lambda entry: entry[1].ratio
        )
        return Choice(schedule, f"{best.source}: {best.device}")


def load_records(target: Target) -> Records:
    """All records for a target. Raises InputError for a line that is not a record."""
    return Records(
        read_records(shipped_records_path(target), target),
        read_records(own_records_path(target), target),
    )


def find_schedule(key: str, space: Sequence[Any]) -> Any:
    """The schedule of ``space`` that a record has; None where ``space`` no longer has it.

    Fields that are newer than the record have their default.
    """
    known = {schedule_key(schedule): schedule for schedule in space if schedule is not None}
    if key in known or key == DEFAULT:
        return known.get(key)
    for kind in {type(schedule) for schedule in known.values()}:
        defaults = {f.name: f.default for f in fields(kind) if f.default is not MISSING}
        filled = json.dumps(defaults | json.loads(key), sort_keys=True)
        if filled in known:
            return known[filled]
    return None


def _rank(record: Record, mine: bool) -> int | None:
    """A record's rank; None: it does not count."""
    if record.outcome != OK or record.source == EMULATED:
        return None
    return 2 * (record.source in (DEVICE, LOCAL)) + mine
