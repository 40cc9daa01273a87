"""Names of classes, as a user gives them."""

from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.errors import InputError
from bitat_deploy.network import class_names_of, class_names_to_text

_MOST_BYTES = 4_000_000


def read_class_names(file: str | Path) -> tuple[str, ...]:
    """The names in a text file, one a line, in the order of the network's outputs.

    Raises InputError for a file that cannot be read and for an empty line.
    """
    path = Path(file)
    try:
        with path.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InputError(f"'{path}' is too large for a list of classes")
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"the classes '{path}' cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the classes '{path}' are not text in UTF-8") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"'{path}' names no classes; write one on each line")
    try:
        return checked_class_names([line.strip() for line in lines])
    except InputError as error:
        raise InputError(f"in '{path}', {error}") from error


def checked_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """The ``names``. Raises InputError for one that is no text or empty."""
    checked = class_names_of(class_names_to_text(tuple(names)))
    if "" in checked:
        raise InputError(f"class {checked.index('')} has no name; write one on each line")
    return checked
