"""``manifest.json``: what a bundle is and what is in it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from bitat_deploy.compiler.layer_report import LayerReport
from bitat_deploy.errors import BundleError
from bitat_deploy.target import Target

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class BundleFile:
    """One file: ``path`` is relative to the bundle, with slashes; ``push``: goes to the device."""

    path: str
    sha256: str
    size: int
    executable: bool
    push: bool


@dataclass(frozen=True)
class ModelIdentity:
    """The network; ``sha256`` is that of the ONNX file.

    ``input_shape`` is (height, width, channels) of the uint8 image.
    """

    name: str
    sha256: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """All that ``manifest.json`` holds; ``versions`` is package name to version."""

    schema_version: int
    versions: dict[str, str]
    model: ModelIdentity
    target: Target
    layers: tuple[LayerReport, ...]
    files: tuple[BundleFile, ...]

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps(asdict(self), indent=1) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Invert :meth:`Manifest.to_json`, checking every value.

    Raises BundleError, which says what is wrong with the manifest.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BundleError(f"is not JSON ({error})") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise BundleError("has no schema_version")
    if document["schema_version"] != SCHEMA_VERSION:
        raise BundleError(
            f"has schema version {document['schema_version']}, this program reads {SCHEMA_VERSION}"
        )
    manifest = _parse(Manifest, document, "manifest")
    paths = [file.path for file in manifest.files]
    for path in paths:
        if not _is_plain(path):
            raise BundleError(f"names a file outside the bundle ('{path}')")
    if len(set(paths)) != len(paths):
        raise BundleError("names a file twice")
    return manifest


def _is_plain(path: str) -> bool:
    pure = PurePosixPath(path)
    return str(pure) == path and not pure.is_absolute() and ".." not in pure.parts and path != "."


_T = TypeVar("_T")


def _parse(kind: type[_T], value: Any, where: str) -> _T:
    """Build the dataclass ``kind`` from a JSON object with exactly its fields."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise BundleError(f"has missing or unknown keys in '{where}'")
    hints = get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value[name], f"{where}.{name}") for name in names})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _parse(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(arguments) == len(value):
            return tuple(
                _convert(element, item, f"{where}[{i}]")
                for i, (element, item) in enumerate(zip(arguments, value, strict=True))
            )
    elif origin is dict and isinstance(value, dict):
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    elif origin is None and type(value) is kind:
        return value
    raise BundleError(f"has a wrong value in '{where}'")
