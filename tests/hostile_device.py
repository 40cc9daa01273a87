"""This machine as a device that gives hostile answers."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitat_deploy.device.connection import Result
from bitat_deploy.device.local import LocalConnection

# Clipboard and title sequences, C1 controls, markup that closes nothing, links, bidirectional
# overrides, line separators, emoji codes, HTML, tables; and no end.
NASTY = (
    "\x1b]52;c;eA==\x07[/x] [link=http://a]\u202eb\x9b2J :smile:\u2028<img src=x>|`" + "y" * 9999
)


def is_shown_safely(text: str) -> bool:
    """Whether what a reader sees of NASTY can do nothing: printable and of bounded length."""
    printable = all(character.isprintable() or character == "\n" for character in text)
    return printable and "y" * 5000 not in "".join(text.split())


class HostileDevice(LocalConnection):
    """Runs commands here, and adds to what they print: text in the command to what is added."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__()
        self._answers = answers

    def run(self, command: Sequence[str], *, stdin: Path | None = None, **options: Any) -> Result:
        result = super().run(command, stdin=stdin, **options)
        for marker, added in self._answers.items():
            if any(marker in part for part in command):
                result = dataclasses.replace(result, stdout=result.stdout + added)
        return result
