"""Tuning records: how long an operator takes by one schedule, and which schedule that speaks for.

One JSON object a line, in ``targets/records/<target>.jsonl``, which ships, and in the user's own
file of the same name. A candidate's time counts as a share of the time that the default schedule
took in the same batch on the same device, so that records of a warm board and of a cool one, or of
two boards, can be compared.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from bitat_deploy.errors import InputError
from bitat_deploy.paths import data_directory
from bitat_deploy.target import Target

# Where a time came from. EMULATED says nothing about hardware, and no build uses it.
DEVICE, LOCAL, MODEL, EMULATED = "device", "local", "model", "emulated"
SOURCES = (DEVICE, LOCAL, MODEL, EMULATED)

# What became of a candidate. Only OK has a time.
OK, WRONG, CRASHED, HUNG, NOT_BUILT = "ok", "wrong", "crashed", "hung", "not built"
OUTCOMES = (OK, WRONG, CRASHED, HUNG, NOT_BUILT)

DEFAULT = "default"  # the schedule that an operator has without records

_MAXIMUM_BYTES = 1 << 28
_SCHEDULES = ("schedule", "default")
_JSON_TYPES: dict[Any, Any] = {str: str, float: int | float}


class Tunable(Protocol):
    """What of an operator matters here."""

    @property
    def workload(self) -> str:
        """What schedules are for."""

    def space(self) -> tuple[Any, ...]:
        """The schedules there are."""

    @property
    def default_schedule(self) -> Any:
        """The one without records."""


@dataclass(frozen=True)
class Record:
    """One candidate's result. ``schedule`` is as :func:`schedule_key` writes it.

    ``default`` is what the default schedule was then, with which it was compared: where that is
    another one by now, the record does not count.
    ``processor`` is what the code was compiled for. ``value`` is the candidate's time and
    ``reference`` that of the default schedule, both in ``unit`` (``ns`` or ``cycles``); 0 unless
    the outcome is OK. ``noise`` is the share by which the default's time changed during the batch.
    ``device`` names the board, or the model.
    """

    target: str
    processor: str
    workload: str
    schedule: str
    default: str
    outcome: str
    value: float
    reference: float
    unit: str
    noise: float
    source: str
    device: str
    date: str
    versions: dict[str, str]

    @property
    def ratio(self) -> float:
        """Its time as a share of the default's."""
        return self.value / self.reference

    def to_line(self) -> str:
        """One line of a file, with its end."""
        document = asdict(self)
        for name in _SCHEDULES:
            if document[name] != DEFAULT:
                document[name] = json.loads(document[name])
        return json.dumps(document) + "\n"


@dataclass(frozen=True)
class Choice:
    """The schedule for a layer (None: the default) and where that comes from, in words."""

    schedule: Any
    origin: str


def processor(target: Target) -> str:
    """What code for a target is compiled for: times of other code do not count."""
    return " ".join([target.architecture, target.cpu, *target.features])


def schedule_key(schedule: Any) -> str:
    """A schedule as records have it: JSON, or ``default`` for None."""
    return DEFAULT if schedule is None else json.dumps(asdict(schedule), sort_keys=True)


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
        # Of equal rank the later one is newer.
        if known is None or rank >= known[0]:
            candidates[key] = (rank, record)

    def workloads(self) -> set[str]:
        """Those that there are usable records for."""
        return set(self._best)

    def choose(self, operator: Tunable) -> Choice | None:
        """The fastest schedule that the operator's space still has; None without records.

        What the user measured on a device counts before what ships, and both before a model.
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


def find_schedule(key: str, space: Sequence[Any]) -> Any:
    """The schedule of ``space`` that a record means, None where there is none any more.

    What the record does not say, as it is newer, counts as its default.
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
    """How much a record counts; None: not at all."""
    if record.outcome != OK or record.source == EMULATED:
        return None
    return 2 * (record.source in (DEVICE, LOCAL)) + mine


def load_records(target: Target) -> Records:
    """All records for a target. Raises InputError for a line that is no record."""
    return Records(
        read_records(shipped_records_path(target), target),
        read_records(own_records_path(target), target),
    )


def shipped_records_path(target: Target) -> Path:
    """The file that comes with this program, if there is one for the target."""
    return Path(str(resources.files("bitat_deploy"))) / "targets" / "records" / _name(target)


def own_records_path(target: Target) -> Path:
    """Where ``tune`` writes on this machine."""
    return data_directory() / "records" / _name(target)


def records_identity(target: Target) -> str:
    """A checksum of all records for ``target``: part of the key of a cache of builds."""
    digest = hashlib.sha256()
    for path in (shipped_records_path(target), own_records_path(target)):
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()


def _name(target: Target) -> str:
    return f"{target.name}.jsonl"


def read_records(path: Path, target: Target) -> list[Record]:
    """Records of ``target`` in a file, none where there is no file.

    Raises InputError for a line that is no record.
    """
    if not path.exists():
        return []
    _check_plain(path)
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise InputError(f"'{path}' is too large for tuning records; remove it")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not text and so no tuning records; remove it") from error
    except OSError as error:
        raise InputError(f"the records '{path}' cannot be read: {error.strerror}") from error
    return parse_records(text, str(path), target)


def parse_records(text: str, name: str, target: Target) -> list[Record]:
    """Records of ``target`` in the text of a file called ``name``.

    A last line without end was being written when the power went, and does not count. Those of
    another processor do not either. Raises InputError naming the line.
    """
    *lines, _ = text.split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        record = _parse(line)
        if record is None:
            raise InputError(
                f"line {number} of '{name}' is no tuning record; remove that line, or the file to "
                "do without its records"
            )
        if record.target == target.name and record.processor == processor(target):
            records.append(record)
    return records


def _parse(line: str) -> Record | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or set(document) != {field.name for field in fields(Record)}:
        return None
    for name in _SCHEDULES:
        if isinstance(document[name], dict):
            document[name] = json.dumps(document[name], sort_keys=True)
        elif document[name] != DEFAULT:
            return None
    for field in fields(Record):
        value = document[field.name]
        if not isinstance(value, _JSON_TYPES.get(field.type, dict)) or isinstance(value, bool):
            return None
    record = Record(**document)
    return record if _is_sound(record) else None


def _is_sound(record: Record) -> bool:
    texts = (record.workload, record.schedule, record.device, record.date, record.unit)
    versions: Mapping[Any, Any] = record.versions
    known = record.source in SOURCES and record.outcome in OUTCOMES
    timed = 0 < record.value < float("inf") and 0 < record.reference < float("inf")
    plain = all(text.isprintable() and text for text in texts)
    named = all(isinstance(value, str) for value in versions.values())
    return known and plain and named and (timed or record.outcome != OK)


def append_records(path: Path, records: Sequence[Record]) -> None:
    """Add records to a file, so that they outlive a power cut. Raises InputError.

    What a broken-off writer left of a line is cut away first.
    """
    content = "".join(record.to_line() for record in records).encode()
    _check_plain(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _end_of_lines(file)
            file.truncate(end)
            try:
                _write_all(file, content)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise InputError(
            f"the records '{path}' cannot be written: {error.strerror}; those that are in it stay"
        ) from error


def _check_plain(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"'{path}' is no plain file, so it cannot hold tuning records")


def _write_all(file: Any, content: bytes) -> None:
    while content:
        content = content[file.write(content) :]


def _end_of_lines(file: Any) -> int:
    """Where the last whole line ends."""
    size: int = file.seek(0, os.SEEK_END)
    start = max(0, size - (1 << 16))
    file.seek(start)
    tail: bytes = file.read()
    return start + tail.rfind(b"\n") + 1 if b"\n" in tail or start == 0 else size
