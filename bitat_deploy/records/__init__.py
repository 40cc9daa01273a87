"""Tuning records: how fast schedules of operators are, and which of them a build takes.

``tune`` writes them and the compiler reads them; ``records/`` in ``targets/`` has those that ship.
"""

from bitat_deploy.records.choice import Records, load_records
from bitat_deploy.records.files import (
    append_records,
    own_records_path,
    read_records,
    records_identity,
)
from bitat_deploy.records.record import (
    DEFAULT,
    DEVICE,
    EMULATED,
    LOCAL,
    MODEL,
    NOT_BUILT,
    OK,
    OUTCOMES,
    Record,
    processor,
    schedule_key,
)

__all__ = [
    "DEFAULT",
    "DEVICE",
    "EMULATED",
    "LOCAL",
    "MODEL",
    "NOT_BUILT",
    "OK",
    "OUTCOMES",
    "Record",
    "Records",
    "append_records",
    "load_records",
    "own_records_path",
    "processor",
    "read_records",
    "records_identity",
    "schedule_key",
]
