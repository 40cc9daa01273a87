"""What a check of a device found, in words for its owner."""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """``WARNING``: the result may be wrong or worthless. ``PROBLEM``: a bench cannot run."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of ``doctor``: ``remedy`` is what to do about it, empty where all is well."""

    severity: Severity
    subject: str
    message: str
    remedy: str = ""
