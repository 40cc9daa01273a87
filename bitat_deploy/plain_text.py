"""Text from outside: made safe to print, and checked where it is a name."""

import re

# Safe as a file name in every file system and shell: not hidden, not an option, not a folder.
LONGEST_NAME = 100
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}")
NAME_RULE = f"1 to {LONGEST_NAME} letters, digits, '.', '_' and '-', the first a letter or a digit"


def foreign_text(text: str, limit: int = 200) -> str:
    """``text`` as one printable line of at most ``limit`` characters.

    For text from a device, a bundle, a model or a file. White space, line separators included,
    collapses to single spaces. Control and format characters (C0, C1, ESC, bidirectional
    overrides, zero-width characters), lone surrogates and unassigned characters are removed. A
    longer line ends in "...".
    """
    spaced = (" " if character.isspace() else character for character in text)
    line = " ".join("".join(filter(str.isprintable, spaced)).split())
    return line if len(line) <= limit else f"{line[: limit - 3].rstrip()}..."


def message_lines(error: BaseException) -> list[str]:
    """The lines of an error's message, at least one; its class where it says nothing.

    Libraries' messages run over many lines; a sentence of ours quotes one, as a rule the first.
    """
    return str(error).strip().splitlines() or [type(error).__name__]


def foreign_lines(text: str, limit: int = 2000) -> str:
    """``text``, a file's for instance, with its line breaks and spaces, and without the rest.

    As :func:`foreign_text` removes it; lines are cut after ``limit`` characters.
    """
    lines = text.expandtabs().splitlines()
    return "".join("".join(filter(str.isprintable, line))[:limit] + "\n" for line in lines)


def is_name(text: str) -> bool:
    """Whether ``text`` can be the name of a target, a network or a board; see NAME_RULE."""
    return _NAME.fullmatch(text) is not None


def as_file_name(text: str, limit: int = 150) -> str:
    """``text`` as a name of at most ``limit`` characters, with "-" for other characters.

    File systems allow 255 bytes, and reports add a suffix. "model" if nothing is left.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")
    return plain[:limit] or "model"
