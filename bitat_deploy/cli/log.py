"""Where the log of what is done on devices goes: the terminal, a file, or both."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from bitat_deploy.cli.output import say
from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text

_LONGEST_LINE = 2200


@contextlib.contextmanager
def device_log(verbose: bool, path: Path | None) -> Iterator[None]:
    """Within it, each command on a device is a line on standard error, and in the file ``path``.

    Raises InputError where the file cannot be written.
    """
    handlers: list[logging.Handler] = [_Terminal()] if verbose else []
    if path is not None:
        handlers.append(_file(path))
    logger = logging.getLogger("bitat_deploy.device")
    before = logger.level
    for handler in handlers:
        handler.setFormatter(_Plain("%(asctime)s %(message)s"))
        logger.addHandler(handler)
    if handlers:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return foreign_text(super().format(record), _LONGEST_LINE)


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), err=True)


def _file(path: Path) -> logging.Handler:
    try:
        return logging.FileHandler(path, mode="w", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be written ({error.strerror}); --log needs a file name in a folder "
            "that exists"
        ) from error
