"""What a tuning run finds: written to disk for builds as it comes, summed up for its report."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from bitat_deploy.records import (
    DEFAULT,
    OK,
    Record,
    append_records,
    processor,
    read_records,
    schedule_key,
)
from bitat_deploy.target import Target
from bitat_deploy.tuning.measurement import Timed
from bitat_deploy.tuning.task import Task

_VERSIONS = ("bitat-deploy", "apache-tvm")


@dataclass(frozen=True)
class Origin:
    """Where times come from: ``source`` and ``device`` as in a record, and the unit."""

    source: str
    device: str
    unit: str


class RecordLog:
    """A file of records to append to, and the records that it has. Thread-safe."""

    def __init__(self, path: Path, target: Target) -> None:
        """Raises InputError where the file is damaged."""
        self.path = path
        self._target = target
        self._versions = {name: metadata.version(name) for name in _VERSIONS}
        self._lock = threading.Lock()
        self.records = read_records(path, target)

    def known(self, sources: set[str]) -> list[Record]:
        """Candidates that earlier runs of this version measured, from these sources."""
        return [
            record
            for record in self.records
            if record.source in sources
            and record.versions == self._versions
            and record.schedule != DEFAULT
        ]

    def add(
        self,
        task: Task,
        schedules: tuple[Any, ...],
        results: tuple[Timed, ...],
        reference: float,
        noise: float,
        origin: Origin,
    ) -> None:
        """Write a batch's results, with the default schedule's own. Raises InputError."""
        entries = [(None, Timed(OK, reference)), *zip(schedules, results, strict=True)]
        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        records = [
            Record(
                target=self._target.name,
                processor=processor(self._target),
                workload=task.workload,
                schedule=schedule_key(schedule),
                default=schedule_key(task.operator.default_schedule),
                outcome=timed.outcome,
                value=_rounded(timed.time),
                reference=_rounded(reference),
                unit=origin.unit,
                noise=round(noise, 4),
                source=origin.source,
                device=origin.device,
                date=date,
                versions=self._versions,
            )
            for schedule, timed in entries
        ]
        with self._lock:
            append_records(self.path, records)
            self.records += records


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class WorkloadSummary:
    """A workload after tuning: ``best`` is its fastest record, None if none has a time.

    ``tried`` counts candidates, ``failed`` those without a correct result.
    """

    workload: str
    layers: tuple[str, ...]
    tried: int
    failed: int
    best: Record | None


def summarize(
    tasks: Sequence[Task], records: Sequence[Record], sources: set[str]
) -> list[WorkloadSummary]:
    """One entry for each task, from the latest records of each schedule from ``sources``."""
    summaries = []
    for task in tasks:
        latest = {
            record.schedule: record
            for record in records
            if record.workload == task.workload and record.source in sources
        }
        timed = [record for record in latest.values() if record.outcome == OK]
        summaries.append(
            WorkloadSummary(
                task.workload,
                task.layers,
                len(latest),
                len(latest) - len(timed),
                min(timed, key=lambda record: record.ratio, default=None),
            )
        )
    return summaries
