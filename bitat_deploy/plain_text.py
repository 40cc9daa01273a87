"""Text from outside, made safe to print."""


def foreign_text(text: str, limit: int = 200) -> str:
    """``text`` as one printable line of at most ``limit`` characters.

    For whatever a device, a bundle, a model or a file says. White space, line separators included,
    collapses to single spaces. Control and format characters (C0, C1, ESC, bidirectional
    overrides, zero-width characters), lone surrogates and unassigned characters are removed. A
    longer line ends in "...".
    """
    spaced = (" " if character.isspace() else character for character in text)
    line = " ".join("".join(filter(str.isprintable, spaced)).split())
    return line if len(line) <= limit else f"{line[: limit - 3].rstrip()}..."
