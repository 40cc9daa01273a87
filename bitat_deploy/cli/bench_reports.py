"""The reports of ``bench``: where they go, what is printed, and with which error it ends."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bitat_deploy.cli.inventory import board_file
from bitat_deploy.cli.output import say
from bitat_deploy.device import BenchResult, Outcome
from bitat_deploy.errors import WrongAnswerError
from bitat_deploy.report import (
    bench_document,
    board_table,
    check_writable,
    html_report,
    json_report,
    markdown_report,
    mistake_pictures,
    terminal_report,
    write_file,
)

Outcomes = Sequence[Outcome[BenchResult]]

_FORMATS: dict[str, Callable[[dict[str, Any], BenchResult], str]] = {
    "--json": lambda document, result: json_report(document),
    "--markdown": lambda document, result: markdown_report(document),
    "--html": lambda document, result: html_report(document, mistake_pictures(result)),
}
_SUFFIXES = {"--json": ".json", "--markdown": ".md", "--html": ".html"}
_STANDARD_OUTPUT = Path("-")


def check_outputs(outputs: Mapping[str, Path]) -> None:
    """Refuse files that cannot be written, before anything is measured."""
    for option, path in outputs.items():
        if path != _STANDARD_OUTPUT:
            check_writable(path, option)
    if list(outputs.values()).count(_STANDARD_OUTPUT) > 1:
        raise click.UsageError("Only one of --json, --markdown and --html can be '-'.")


def check_report_folders(outputs: Mapping[str, Path]) -> None:
    """Refuse folders in which no reports can be written."""
    for option, folder in outputs.items():
        if folder == _STANDARD_OUTPUT or (folder.exists() and not folder.is_dir()):
            raise click.UsageError(f"With --zoo, {option} names a folder.")
        if not folder.is_dir():
            check_writable(folder, option)


def show_reports(outcomes: Outcomes, outputs: Mapping[str, Path]) -> None:
    """Print and write the reports; where one is for standard output, nothing else goes there."""
    console = Console(stderr=_STANDARD_OUTPUT in outputs.values())
    verbose = bool(click.get_current_context().params["verbose"])
    documents = [(one, _document(one) or one.error) for one in outcomes]
    if len(documents) > 1:
        console.print(board_table([(one.board.name, document) for one, document in documents]))
    for one, document in documents:
        if one.result is None or not isinstance(document, dict):
            continue
        if len(documents) == 1:
            console.print(terminal_report(document, verbose))
        for option, path in outputs.items():
            text = _FORMATS[option](document, one.result)
            if path == _STANDARD_OUTPUT:
                click.echo(text, nl=False)
                continue
            file = path if len(documents) == 1 else board_file(path, one.board)
            write_file(text, file)
            say(f"Report: {file}", err=_STANDARD_OUTPUT in outputs.values())


def write_to_folders(outcome: Outcome[BenchResult], folders: Mapping[str, Path]) -> None:
    """Write the reports of one outcome, by its board's name."""
    document = _document(outcome)
    if outcome.result is None or document is None:
        return
    for option, folder in folders.items():
        folder.mkdir(exist_ok=True)
        file = folder / f"{outcome.board.name}{_SUFFIXES[option]}"
        write_file(_FORMATS[option](document, outcome.result), file)


def show_table(outcomes: Outcomes) -> None:
    """Print one line for each network, which the outcomes' boards are called by."""
    documents = [(one.board.name, _document(one) or one.error) for one in outcomes]
    Console().print(board_table(documents, "network"))


def _document(outcome: Outcome[BenchResult]) -> dict[str, Any] | None:
    if outcome.result is None:
        return None
    return bench_document(outcome.result, shlex.join(["bitat-deploy", *sys.argv[1:]]))


def raise_first(outcomes: Outcomes) -> None:
    """Raise the first error of a board, or that it gave wrong answers."""
    errors = [(outcome.board, outcome.error or _wrong_answer(outcome)) for outcome in outcomes]
    failed = [(board, error) for board, error in errors if error is not None]
    if not failed:
        return
    board, error = failed[0]
    if len(outcomes) == 1:
        raise error
    count = f"{len(failed)} of {len(outcomes)} boards failed, the first '{board.name}'"
    raise type(error)(f"{count}: {error}") from error


def _wrong_answer(outcome: Outcome[BenchResult]) -> WrongAnswerError | None:
    result = outcome.result
    if result is None or result.accuracy.logits_equal:
        return None
    return WrongAnswerError(
        f"'{outcome.board.name}' gives other answers than ONNX Runtime on this machine "
        f"({result.accuracy.differing_from_reference} of {result.accuracy.images} predictions "
        "differ); build again, and if that does not help, report a bug in bitat-deploy"
    )
