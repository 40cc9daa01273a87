"""Reading YAML that users write: projects, inventories, targets, recipes."""

from pathlib import Path
from typing import Any

import yaml

from bitat_deploy.errors import InputError

# Enough for hosts and paths of several hundred boards.
_MAXIMUM_BYTES = 64_000

_DEEPEST = 8  # nested lists and mappings


class _PlainLoader(yaml.SafeLoader):
    """A safe loader limited in time and memory: no deep nesting and no aliases.

    A few lines of aliases can expand to more values than fit in memory.
    """

    def __init__(self, content: str) -> None:
        super().__init__(content)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        try:
            return self._compose_shallow_node(parent, index)
        finally:
            self._depth -= 1

    def _compose_shallow_node(self, parent: Any, index: Any) -> Any:
        if self._depth > _DEEPEST:
            raise yaml.YAMLError(f"it is more than {_DEEPEST} levels deep")
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise yaml.YAMLError(f"it has an alias ('*{event.anchor}'), which is not supported")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """The document in ``path``. Raises InputError, which names the file and what is wrong."""
    try:
        if not path.is_file():
            raise InputError(f"'{path}' is not a file; check the path")
        with path.open("rb") as file:
            content = file.read(_MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"'{path}' cannot be read: {reason}") from error
    if len(content) > _MAXIMUM_BYTES:
        raise InputError(f"'{path}' is too large: more than {_MAXIMUM_BYTES} bytes")
    return parse_yaml(content, f"'{path}'")


def parse_yaml(content: bytes | str, what: str) -> Any:
    """The document in ``content``, which messages call ``what``. Raises InputError."""
    try:
        text = content.decode() if isinstance(content, bytes) else content
        return yaml.load(text, _PlainLoader)  # noqa: S506  a kind of SafeLoader
    except (yaml.YAMLError, RecursionError, LookupError, TypeError, ValueError) as error:
        # PyYAML also lets through what int(), date() and deep nesting raise.
        raise InputError(f"{what} is not YAML: {_reason(error)}; correct it") from error


def _reason(error: Exception) -> str:
    """What is wrong and, if PyYAML gives it, in which line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"{error.problem} (line {error.problem_mark.line + 1})"
    return (str(error).splitlines() or ["it is malformed"])[0]


def is_plain_text(value: Any) -> bool:
    """Whether it can be a host or a path: one non-empty line of printable text."""
    return isinstance(value, str) and value != "" and value.isprintable()
