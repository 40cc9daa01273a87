"""All keys of recipes as a page, from the dataclasses and their docstrings."""

import dataclasses
import inspect
import re
import types
import typing
from typing import Any

from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.recipe_sections import StageRecipe
from bitat_deploy.training.registry import ARCHITECTURES, METHODS

_HEAD = """\
# Keys of a recipe

`bitat-deploy train --keys` prints this page. `--set key=value` changes a value on the command line;
keys of sections have a point, as in `--set data.batch_size=32`. Without a default a key is needed.
"""
_INNER = ("sections",)  # not written in a recipe


def recipe_keys() -> str:
    """The page, as Markdown."""
    parts = [_HEAD, *_sections(Recipe, "", "")]
    parts.append(
        "## method\n\nEach method has sections of its own, in this order, behind "
        "`full_precision`.\n"
    )
    shown: dict[tuple[str, Any], None] = {}
    for name in METHODS:
        method = METHODS[name]
        keys = [field.name for field in dataclasses.fields(method)]
        text = inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0]
        text = text.replace("\n", " ").replace("``", "`")
        listed = ", ".join(f"`{key}`" for key in keys) or "none"
        parts.append(f"- `{name}`: {text} Sections: {listed}.")
        hints = typing.get_type_hints(method)
        shown |= dict.fromkeys((key, _record(hints[key])) for key in keys)
    parts.append("")
    for key, record in shown:
        if record is not StageRecipe:  # as full_precision is
            parts += _sections(record, key, f"## {key}\n")
    names = ", ".join(f"`{name}`" for name in ARCHITECTURES)
    parts.append(f"Architectures of `network`: {names}.\n")
    return "\n".join(parts)


def key_texts(record: type) -> dict[str, str]:
    """What the docstring of a dataclass, and of those it extends, says of each of its fields."""
    texts: dict[str, str] = {}
    for kind in reversed(record.__mro__):
        doc = inspect.cleandoc(kind.__doc__ or "") if dataclasses.is_dataclass(kind) else ""
        for found in re.finditer(r"^(\w+): (.*(?:\n {4}.*)*)", doc, re.MULTILINE):
            texts[found[1]] = " ".join(found[2].split())
    return {field.name: texts.get(field.name, "") for field in dataclasses.fields(record)}


def _sections(record: Any, key: str, title: str) -> list[str]:
    """The table of a record's keys, then those of the records inside."""
    hints, texts = typing.get_type_hints(record), key_texts(record)
    rows = [title] if title else []
    rows += ["| key | value | default | what |", "|---|---|---|---|"]
    inner: list[str] = []
    for field in dataclasses.fields(record):
        if field.name in _INNER:
            continue
        name = f"{key}.{field.name}" if key else field.name
        kind = hints[field.name]
        below = _record(kind)
        default = "" if below else _default(field)
        value = "a section" if below else _kind(kind)
        text = texts[field.name].replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{name}` | {value} | {default} | {text} |")
        if below is not None:
            others = ", and every stage of a method without a table of its own"
            inner += _sections(below, name, f"## {name}{others * (below is StageRecipe)}\n")
    return [*rows, "", *inner]


def _record(kind: Any) -> Any:
    """The dataclass that a key's value is, if it is one."""
    candidates = [kind, *typing.get_args(kind)]
    return next((part for part in candidates if dataclasses.is_dataclass(part)), None)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{_value(field.default_factory())}`"
    if field.default is dataclasses.MISSING:
        return ""
    return f"`{_value(field.default)}`"


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _kind(kind: Any) -> str:
    """A type in the words of YAML."""
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if kind in names:
        return names[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _kind(next(part for part in inner if part is not type(None)))
    if origin is dict:
        return "a mapping"
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"a list of {len(inner)}"
    return "a list"
