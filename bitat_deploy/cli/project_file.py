"""``bitat.yaml``: a project's defaults, so that ``build`` and ``bench`` need no arguments."""

import os
import reprlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.yaml_file import is_plain_text, read_yaml

PROJECT_FILE = Path("bitat.yaml")


@dataclass(frozen=True)
class Project:
    """The values of a project file; None if they are not given.

    ``model`` is as for ``build``; ``target`` a target's name; ``host``, or a list of several, and
    ``data`` are as for ``bench``. Paths are relative to the folder of the file.
    """

    model: str | None = None
    target: str | None = None
    host: str | list[str] | None = None
    data: str | None = None

    def default_map(self) -> dict[str, dict[str, Any]]:
        """The values as click's defaults of the commands that take them."""
        hosts = (self.host,) if isinstance(self.host, str) else self.host
        takers: dict[str, dict[str, Any]] = {
            "build": {"model": self.model, "target_name": self.target},
            "tune": {"model": self.model, "target_name": self.target, "hosts": hosts},
            "bench": {"hosts": hosts, "data": self.data},
            "doctor": {"host": hosts, "target_name": self.target},
            "clean": {"host": hosts},
            "run": {"host": hosts},
        }
        return {
            command: {name: value for name, value in options.items() if value is not None}
            for command, options in takers.items()
        }


def read_project(path: Path = PROJECT_FILE) -> Project:
    """Read a project file; without one, the project is empty.

    Raises InputError if the file is not YAML, has unknown keys or values that are not text.
    """
    if not path.exists():
        return Project()
    document = read_yaml(path)
    known = [field.name for field in fields(Project)]
    if document is None:
        return Project()
    if not isinstance(document, dict):
        raise InputError(f"'{path}' is not a mapping; it may have the keys: {', '.join(known)}")
    unknown = [key for key in document if key not in known]
    if unknown:
        raise InputError(
            f"'{path}' has the unknown key {reprlib.repr(unknown[0])}; "
            f"it may have: {', '.join(known)}"
        )
    for key, value in document.items():
        several = key == "host" and isinstance(value, list) and len(value) > 0
        if not all(is_plain_text(text) for text in (value if several else [value])):
            raise InputError(
                f"'{key}' in '{path}' is {reprlib.repr(value)}, not one line of text; correct it"
            )
    return Project(**{key: _at_home(path, key, value) for key, value in document.items()})


def _at_home(path: Path, key: str, value: Any) -> Any:
    """A value with the user's home folder in place of a ``~``, as a shell does."""
    if key == "host" or not value.startswith("~"):
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError as error:
        raise InputError(
            f"'{key}' in '{path}' is {value!r}, the home folder of an unknown user; correct it"
        ) from error


def write_project(project: Project, path: Path = PROJECT_FILE) -> None:
    """Write a project file. Raises InputError rather than replace one."""
    values = {key: value for key, value in asdict(project).items() if value is not None}
    text = "# Read by bitat-deploy in this folder; options on the command line override it.\n"
    text += yaml.safe_dump(values, sort_keys=False)
    if os.path.lexists(path):
        raise InputError(f"'{path}' exists already; edit it, or remove it first")
    try:
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
