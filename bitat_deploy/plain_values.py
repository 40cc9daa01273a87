"""Converts plain values, as in YAML and JSON, to frozen dataclasses."""

import dataclasses
import json
import math
import reprlib
import types
import typing
from typing import Any, NoReturn

from bitat_deploy.errors import InputError


def strict_json(text: str | bytes) -> Any:
    """The values in ``text``; its numbers are finite. Raises ValueError, RecursionError."""
    return json.loads(text, parse_float=_finite, parse_constant=_refuse)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def build_record(kind: Any, value: Any, where: str) -> Any:
    """An instance of the dataclass ``kind`` from the mapping ``value``.

    Keys that have a default may be left out. Values are not converted, except numbers to float.
    Raises InputError with the dotted key, relative to ``where``, of what is missing, unknown or of
    the wrong type.
    """
    if not isinstance(value, dict):
        raise _wrong(where, "a mapping of keys to values", value)
    hints = typing.get_type_hints(kind)
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    unknown = sorted(str(key) for key in set(value) - set(hints))
    missing = sorted(required - set(value))
    if unknown or missing:
        parts = [f"unknown keys: {', '.join(unknown)}"] if unknown else []
        parts += [f"missing keys: {', '.join(missing)}"] if missing else []
        raise InputError(f"{where} has {'; '.join(parts)}")
    prefix = "" if where == "recipe" else f"{where}."
    values = {
        key: _build(hints[key], value[key], f"{prefix}{key}") for key in hints if key in value
    }
    try:
        return kind(**values)
    except InputError as error:  # a class's own rules name its fields
        raise InputError(f"{prefix}{error}") from error


def _build(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return build_record(kind, value, where)
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = next(part for part in typing.get_args(kind) if part is not type(None))
        return None if value is None else _build(inner, value, where)
    if origin in (tuple, list):
        return origin(
            _build(entry, part, f"{where}[{i}]")
            for i, (entry, part) in enumerate(_entries(kind, value, where))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(where, "a mapping of keys to values", value)
        entry = typing.get_args(kind)[1]
        return {key: _build(entry, part, f"{where}.{key}") for key, part in value.items()}
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3, without a point, as text
        except (ValueError, OverflowError):
            pass
    if kind is not Any and type(value) is not kind:
        raise _wrong(where, f"of type {kind.__name__}", value)
    return value


def _entries(kind: Any, value: Any, where: str) -> list[tuple[Any, Any]]:
    """The entries of ``value``, each with its type; ``kind`` is list[...] or tuple[...]."""
    if not isinstance(value, list | tuple):
        raise _wrong(where, "a list", value)
    kinds = typing.get_args(kind)
    if typing.get_origin(kind) is list or kinds[-1] is Ellipsis:
        return [(kinds[0], part) for part in value]
    if len(value) != len(kinds):
        raise _wrong(where, f"a list of {len(kinds)}", value)
    return list(zip(kinds, value, strict=True))


def _wrong(where: str, wanted: str, value: Any) -> InputError:
    return InputError(f"{where} must be {wanted}, not {reprlib.repr(value)}")
