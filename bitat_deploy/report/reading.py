"""Reading a bench report back from its JSON file."""

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.plain_values import strict_json

# A report has some ten kilobytes.
_MAXIMUM_BYTES = 16_000_000

_REMEDY = "give a file that bitat-deploy bench --json wrote"


@cache
def report_schema() -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of a bench report."""
    text = resources.files("bitat_deploy.report").joinpath("schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def read_report(path: Path) -> dict[str, Any]:
    """The report in ``path``, checked against the schema.

    Raises InputError, which names the file and its worst flaw.
    """
    try:
        document = strict_json(_content(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not a JSON file; {_REMEDY}") from error
    _check_version(path, document)
    validator = jsonschema.Draft202012Validator(report_schema())
    flaw = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if flaw is not None:
        where = flaw.json_path.removeprefix("$").removeprefix(".") or "the document"
        what = f"{where}: {foreign_text(flaw.message, 160)}"
        raise InputError(f"'{path}' is not a sound bench report: {what}; {_REMEDY}")
    _check_confusion(path, document["accuracy"])
    _check_mistakes(path, document["accuracy"])
    return dict(document)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"'{path}' is not a file; {_REMEDY}")
    try:
        with path.open("rb") as file:
            content = file.read(_MAXIMUM_BYTES + 1)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    if len(content) > _MAXIMUM_BYTES:
        raise InputError(f"'{path}' is too large for a bench report; {_REMEDY}")
    return content


def _check_version(path: Path, document: Any) -> None:
    """Before the schema, so that a newer report is refused for its version alone."""
    known = report_schema()["properties"]["schema_version"]["const"]
    if not isinstance(document, dict) or "schema_version" not in document:
        raise InputError(f"'{path}' is not a bench report; {_REMEDY}")
    version = document["schema_version"]
    if isinstance(version, int) and version > known:
        raise InputError(
            f"'{path}' is a report of version {version}, this program reads version {known}; "
            "install a newer bitat-deploy"
        )


def _check_mistakes(path: Path, accuracy: dict[str, Any]) -> None:
    """They are of images and classes that exist."""
    classes = len(accuracy.get("class_names", ()))
    for mistake in accuracy.get("mistakes", ()):
        in_range = max(mistake["label"], mistake["prediction"]) < classes
        if not in_range or mistake["image"] >= accuracy["images"]:
            raise InputError(
                f"'{path}' is not a sound bench report: accuracy.mistakes names an image or a "
                f"class that does not exist; {_REMEDY}"
            )


def _check_confusion(path: Path, accuracy: dict[str, Any]) -> None:
    """The matrix is square and counts each image once, which a schema cannot express."""
    matrix = accuracy.get("confusion")
    if matrix is None:
        return
    classes = len(accuracy["class_names"])
    square = len(matrix) == classes and all(len(row) == classes for row in matrix)
    if not square or sum(map(sum, matrix)) != accuracy["images"]:
        raise InputError(
            f"'{path}' is not a sound bench report: accuracy.confusion does not count "
            f"{accuracy['images']} images in {classes} classes; {_REMEDY}"
        )
