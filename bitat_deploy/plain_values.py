"""Plain values, as YAML and JSON hold them, to frozen dataclasses."""

import dataclasses
import types
import typing
from typing import Any

from bitat_deploy.errors import InputError


def build_record(kind: Any, value: Any, where: str) -> Any:
    """An instance of the dataclass ``kind`` from the mapping ``value``.

    Keys that have a default may be left out. Raises InputError with the dotted key, below
    ``where``, of what is missing, unknown or of the wrong type.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a mapping of keys to values, not {value!r}")
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
    if origin is tuple:
        entry = typing.get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} must be a list, not {value!r}")
        return tuple(_build(entry, part, f"{where}[{i}]") for i, part in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} must be a mapping of keys to values, not {value!r}")
        return value
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3, without a point, as text
        except ValueError:
            pass
    if type(value) is not kind:
        raise InputError(f"{where} must be of type {kind.__name__}, not {value!r}")
    return value
