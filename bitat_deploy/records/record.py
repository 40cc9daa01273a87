"""A tuning record: an operator's time with one schedule, and where it was measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from bitat_deploy.target import Target

# Where a time came from. EMULATED says nothing about hardware, and no build uses it.
DEVICE, LOCAL, MODEL, EMULATED = "device", "local", "model", "emulated"
SOURCES = (DEVICE, LOCAL, MODEL, EMULATED)

# Outcomes of a candidate. Only OK has a time.
OK, WRONG, CRASHED, HUNG, NOT_BUILT = "ok", "wrong", "crashed", "hung", "not built"
OUTCOMES = (OK, WRONG, CRASHED, HUNG, NOT_BUILT)

DEFAULT = "default"  # the schedule that an operator has without records

_SCHEDULES = ("schedule", "default")
_JSON_TYPES: dict[Any, Any] = {str: str, float: int | float}


@dataclass(frozen=True)
class Record:
    """One candidate's result. ``schedule`` is as :func:`schedule_key` writes it.

    ``default`` is the default schedule that it was compared with; the record does not count where
    the default has changed since.
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


def processor(target: Target) -> str:
    """What code for a target is compiled for; times of code for other processors do not count."""
    return " ".join([target.architecture, target.cpu, *target.features])


def schedule_key(schedule: Any) -> str:
    """A schedule as records have it: JSON, or ``default`` for None."""
    return DEFAULT if schedule is None else json.dumps(asdict(schedule), sort_keys=True)


def parse_record(line: str) -> Record | None:
    """Invert :meth:`Record.to_line`; None for a line that is not a record."""
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
