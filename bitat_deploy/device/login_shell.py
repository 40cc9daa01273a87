"""Commands for whatever login shell a device has.

It may be fish, zsh or tcsh, each with quoting rules of its own, and may print a greeting to every
command. So it gets a text that means the same to all of them, which starts sh; and sh begins its
answer with a mark.
"""

import os
import secrets
import shlex
import string
from collections.abc import Sequence

LOST = 255  # what ssh itself ends with

# Within single quotes these mean themselves everywhere. fish has escapes there, tcsh the "!".
_PLAIN = frozenset(string.ascii_letters + string.digits + ' "#$%&()*+,-./:;<=>?@[]^_`{|}~')

# No command ends with the exit code that says "lost".
_START = 'echo %s; eval "$(printf %%b "$1")"; c=$?; [ $c -ne 255 ] || c=254; exit $c'


def for_login_shell(command: Sequence[str]) -> tuple[str, bytes]:
    """The text to hand to the login shell, and the mark after which its answer begins."""
    mark = secrets.token_hex(8)
    return f"sh -c '{_START % mark}' sh '{_escaped(shlex.join(command))}'", f"{mark}\n".encode()


def _escaped(text: str) -> str:
    """``text`` with octal escapes, as ``printf %b`` reads them."""
    return "".join(
        character
        if character in _PLAIN
        else "".join(f"\\0{byte:03o}" for byte in os.fsencode(character))
        for character in text
    )
