"""Which boards to bench: from ``--host``, ``bitat.yaml`` or an inventory file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bitat_deploy.device import Board
from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import NAME_RULE, as_file_name, is_name
from bitat_deploy.yaml_file import is_plain_text, read_yaml

_KEYS = ("host", "name", "bundle")


def choose_boards(hosts: Sequence[str], inventory: Path | None) -> list[Board]:
    """The boards of the file ``inventory``, or without one those of the command's ``hosts``.

    Raises InputError if a board is named twice or the file is malformed, click.UsageError if both
    were given.
    """
    if inventory is None:
        return _distinct([Board(host, host) for host in hosts], "--host")
    source = click.get_current_context().get_parameter_source("hosts")
    if source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--host and --inventory cannot go together.")
    return read_inventory(inventory)


def read_inventory(path: Path) -> list[Board]:
    """The boards of a YAML list: each a host, or ``host`` with ``name`` and ``bundle``.

    A bundle's path is relative to the file. Raises InputError.
    """
    document = read_yaml(path)
    if not isinstance(document, list) or not document:
        raise InputError(f"'{path}' is not a list of boards; write '- user@host' for each")
    boards = [_board(path, number, entry) for number, entry in enumerate(document, 1)]
    return _distinct(boards, f"'{path}'")


def board_file(path: Path, board: Board) -> Path:
    """``path`` with the board's name in it: report.json becomes report.pi-kitchen.json."""
    return path.with_name(f"{path.stem}.{as_file_name(board.name)}{path.suffix}")


def _board(path: Path, number: int, entry: Any) -> Board:
    if isinstance(entry, str):
        entry = {"host": entry}
    sound = isinstance(entry, dict) and "host" in entry and set(entry) <= set(_KEYS)
    if not sound or not all(is_plain_text(value) for value in entry.values()):
        raise InputError(
            f"entry {number} of '{path}' is not a board; write a host, or a mapping with host and "
            "optionally name and bundle, all of them text"
        )
    if "name" in entry and not is_name(entry["name"]):
        raise InputError(f"the name of entry {number} of '{path}' must be {NAME_RULE}; change it")
    try:
        bundle = path.parent / Path(entry["bundle"]).expanduser() if "bundle" in entry else None
    except RuntimeError as error:
        raise InputError(
            f"entry {number} of '{path}' has the bundle {entry['bundle']!r} of an unknown user; "
            "write a path"
        ) from error
    return Board(entry["host"], entry.get("name", entry["host"]), bundle)


def _distinct(boards: list[Board], where: str) -> list[Board]:
    seen: set[str] = set()
    for board in boards:
        # Reports go to files with these names.
        name = as_file_name(board.name).lower()
        if name in seen:
            raise InputError(f"{where} names the board '{board.name}' twice; remove one")
        seen.add(name)
    return boards
