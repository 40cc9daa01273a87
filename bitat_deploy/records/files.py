"""Files of tuning records, one JSON object a line, which survive a kill and a power cut."""

import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.files import lock_file
from bitat_deploy.paths import data_directory
from bitat_deploy.records.record import Record, parse_record, processor
from bitat_deploy.target import Target

_MAXIMUM_BYTES = 1 << 28


def shipped_records_path(target: Target) -> Path:
    """The file that comes with this program, if there is one for the target."""
    return Path(str(resources.files("bitat_deploy.targets"))) / "records" / _name(target)


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

    Raises InputError for a line that is not a record.
    """
    if not path.exists():
        return []
    _check_plain(path)
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise InputError(f"'{path}' is too large for tuning records; remove it")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' is not text, so it holds no tuning records; remove it"
        ) from error
    except OSError as error:
        raise InputError(f"the records '{path}' cannot be read: {error.strerror}") from error
    return parse_records(text, str(path), target)


def parse_records(text: str, name: str, target: Target) -> list[Record]:
    """Records of ``target`` in the text of a file called ``name``.

    A last line without a newline was being written when the power went, and does not count; nor do
    records of another processor. Raises InputError naming the line.
    """
    *lines, _ = text.split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        record = parse_record(line)
        if record is None:
            raise InputError(
                f"line {number} of '{name}' is not a tuning record; remove the line, or remove "
                "the file to build without its records"
            )
        if record.target == target.name and record.processor == processor(target):
            records.append(record)
    return records


def append_records(path: Path, records: Sequence[Record]) -> None:
    """Add records to a file, so that they survive a power cut. Raises InputError.

    An unfinished line of an interrupted writer is removed first.
    """
    content = "".join(record.to_line() for record in records).encode()
    _check_plain(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            lock_file(file)
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
            f"the records '{path}' cannot be written: {error.strerror}; their file is unchanged"
        ) from error


def _check_plain(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"'{path}' is not a regular file, so it cannot hold tuning records")


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
