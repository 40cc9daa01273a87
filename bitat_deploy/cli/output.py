"""Lines and texts for the terminal: whatever is in them, it can do nothing there."""

import click
from rich.text import Text

from bitat_deploy.plain_text import foreign_text

LONGEST_LINE = 2200  # our own sentences are shorter, and errors cut what they quote


def say(line: str, *, err: bool = False, bold: bool = False) -> None:
    """Print one line to standard output, or to standard error."""
    click.secho(foreign_text(line, LONGEST_LINE), err=err, bold=bold)


def shown(text: str, style: str = "") -> Text:
    """``text`` for rich, which would take a string for its own markup."""
    return Text(foreign_text(text, LONGEST_LINE), style=style)
