"""What an exploration is about, and how long its runs are; kept, so that it can go on."""

import hashlib
import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.exploration.candidates import Space
from bitat_deploy.files import whole_file
from bitat_deploy.plain_values import build_record

SCHEMA_VERSION = 1
LEAST_EPOCHS = 4
_RESERVE = 0.85  # of the time; the rest is for the end, and for what was misjudged


@dataclass(frozen=True)
class Plan:
    """``subject`` is what must not change: candidates, images, and whether latencies are measured.

    ``owner`` names the output folder in a shared database. Epochs are 0 until they are decided.
    ``seconds`` were used by earlier commands; ``target`` is the name of what is built for.
    """

    subject: str
    owner: str
    twin_epochs: int = 0
    epochs: int = 0
    seconds: float = 0.0
    target: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if min(self.twin_epochs, self.epochs) < 0 or not 0 <= self.seconds < math.inf:
            raise InputError("epochs and seconds must be finite and not negative")


class PlanFile:
    """The plan in a file, which is written at each change.

    A new one where there is none. Raises InputError where the file is of another exploration.
    """

    def __init__(self, path: Path, subject: str) -> None:
        self._path = path
        self.value = Plan(subject, uuid.uuid4().hex[:12])
        if path.exists():
            self.value = _read(path, subject)
        self.update()

    def update(self, **changes: Any) -> None:
        """Change some fields. Raises OSError."""
        self.value = replace(self.value, **changes)
        with whole_file(self._path) as file:
            file.write(json.dumps(asdict(self.value), indent=1).encode())


def _read(path: Path, subject: str) -> Plan:
    try:
        plan: Plan = build_record(Plan, json.loads(path.read_text()), "plan")
    except (OSError, ValueError, RecursionError, InputError) as error:
        raise InputError(
            f"'{path}' is damaged or of another version ({error}); give another --output"
        ) from error
    if (plan.schema_version, plan.subject) != (SCHEMA_VERSION, subject):
        raise InputError(
            f"'{path.parent}' holds an exploration of other candidates, pictures or devices; give "
            "another --output, or remove the folder to start again"
        )
    return plan


def subject_of(space: Space, counts: Sequence[int], where: str) -> str:
    """A checksum of what an exploration is about; ``counts`` are the numbers of images."""
    text = json.dumps([asdict(space), list(counts), where], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def affordable(most: int, seconds: float | None, per_epoch: float) -> int:
    """Epochs that fit into ``seconds`` where one of all runs together takes ``per_epoch``.

    A multiple of 4, from 4 to ``most``; without a limit of time ``most``.
    """
    fitting = most if seconds is None else int(min(_RESERVE * seconds / per_epoch, most))
    return max(fitting // LEAST_EPOCHS * LEAST_EPOCHS, LEAST_EPOCHS)
