"""What the records of a run say, workload by workload."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitat_deploy.compiler.record import OK, Record
from bitat_deploy.tuning.task import Task


@dataclass(frozen=True)
class WorkloadSummary:
    """A workload after tuning: ``best`` is its fastest record, None where none has a time.

    ``tried`` counts candidates, ``failed`` those that were not right.
    """

    workload: str
    layers: tuple[str, ...]
    tried: int
    failed: int
    best: Record | None


def summarize(
    tasks: Sequence[Task], records: Sequence[Record], sources: set[str]
) -> list[WorkloadSummary]:
    """One entry for each task, of records from ``sources``; of several for a schedule the last."""
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
