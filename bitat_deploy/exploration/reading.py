"""Reading an exploration's document back from its JSON file, which may come from anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from bitat_deploy.errors import InputError
from bitat_deploy.exploration.document import SCHEMA_VERSION, Document
from bitat_deploy.plain_text import foreign_text
from bitat_deploy.plain_values import strict_json

_MAXIMUM_BYTES = 16_000_000
_MOST = 1e15  # of any number: what divisions and units keep finite


def _each(**kinds: Any) -> dict[str, Any]:
    """An object with at least these keys."""
    return {"type": "object", "required": list(kinds), "properties": kinds}


def _list(kind: Any, **limits: Any) -> dict[str, Any]:
    return {"type": "array", "items": kind, **limits}


def _or_null(kind: Any) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"}, kind]}


_TEXT, _FLAG = {"type": "string", "maxLength": 10_000}, {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0, "maximum": _MOST}
_MILLISECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST}
_INTERVAL = _or_null(_list(_MILLISECONDS, minItems=2, maxItems=2))
_SCORE = _each(right=_COUNT, images=_COUNT | {"minimum": 1})
_TIMING = _each(milliseconds=_MILLISECONDS, interval=_INTERVAL)
_NETWORK = _each(
    **dict.fromkeys(("name", "series", "state", "reason"), _TEXT),
    epochs=_COUNT,
    memory_bytes=_or_null(_COUNT),
    size_bytes=_or_null(_COUNT),
    milliseconds=_or_null(_MILLISECONDS),
    interval=_INTERVAL,
    validation=_or_null(_SCORE),
    test=_or_null(_SCORE),
    others={"type": "object", "additionalProperties": _TIMING},
)
_LIMIT = _or_null({"type": "number", "minimum": 0, "maximum": _MOST})
_SCHEMA = _each(
    **dict.fromkeys(("command", "latency_from", "recommended"), _TEXT),
    **dict.fromkeys(("modelled", "emulated", "complete"), _FLAG),
    **dict.fromkeys(("epochs", "seconds", "jobs", "cores"), _COUNT),
    **dict.fromkeys(("boards", "doubts"), _list(_TEXT)),
    pictures=_each(
        name=_TEXT,
        classes=_list(_TEXT),
        **dict.fromkeys(("training", "validation", "test"), _COUNT),
    ),
    target=_each(name=_TEXT, description=_TEXT),
    budget=_each(milliseconds=_LIMIT, memory_bytes=_LIMIT, size_bytes=_LIMIT),
    networks=_list(_NETWORK),
    front=_list(_TEXT, minItems=1),
    left_out={"type": "object", "additionalProperties": _TEXT},
)


def read_exploration(path: Path) -> Document:
    """A document that explore wrote earlier. Raises InputError, which names the worst flaw."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAXIMUM_BYTES)
        document: Document = strict_json(content)
        version = document["schema_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"'{path}' is no report of bitat-deploy explore") from error
    if version != SCHEMA_VERSION:
        raise InputError(
            f"'{path}' has version {foreign_text(str(version), 20)}, this program reads version "
            f"{SCHEMA_VERSION}; use the matching release"
        )
    flaw = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(_SCHEMA).iter_errors(document)
    )
    where = "" if flaw is None else flaw.json_path.removeprefix("$.")
    wrong = _contradiction(document) if flaw is None else f"{where}: {flaw.message}"
    if wrong:
        raise InputError(
            f"'{path}' is no sound report of bitat-deploy explore: {foreign_text(wrong, 300)}; "
            "explore again"
        )
    return document


def _contradiction(document: Mapping[str, Any]) -> str:
    """What a schema cannot tell; empty where all is well."""
    networks = {one["name"]: one for one in document["networks"]}
    if len(networks) < len(document["networks"]):
        return "two networks have one name"
    if document["recommended"] not in document["front"]:
        return "the recommended network is not on the front"
    for name in document["front"]:
        known = networks.get(name)
        if known is None or None in (known[key] for key in ("milliseconds", "validation")):
            return "a network of the front is not known, or has no latency or accuracy"
        if known["size_bytes"] is None:
            return "a network of the front has no size"
    scores = [one[of] for one in document["networks"] for of in ("validation", "test") if one[of]]
    if any(score["right"] > score["images"] for score in scores):
        return "more images were answered rightly than there are"
    return ""
