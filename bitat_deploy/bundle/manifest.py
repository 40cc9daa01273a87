"""``manifest.json``: a bundle's identity and contents."""

import json
import re
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from bitat_deploy.compiler import LayerReport
from bitat_deploy.errors import BundleError, InputError
from bitat_deploy.network import OWN, Preprocessing, preprocessing_of
from bitat_deploy.plain_text import NAME_RULE, is_name
from bitat_deploy.plain_values import build_record, strict_json
from bitat_deploy.target import Target

SCHEMA_VERSION = 3  # 2: layers say by what record they are tuned; 3: the preprocessing
_READABLE = (2, 3)

# Several hundred layers take some 100 kB.
MAXIMUM_MANIFEST_BYTES = 16_000_000

# All files together. An ONNX file cannot be larger, and a small board could not hold it.
MAXIMUM_BUNDLE_BYTES = 1 << 31

# The runner's limit of an image's height, width and channels.
_MAXIMUM_EXTENT = 1 << 14

# Images at once. A network's tensors stay small enough for the kernels' int32 indices.
MAXIMUM_BATCH = 64

# Safe in every file system and shell: not hidden, not an option, no control characters.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}){0,3}")
_SHA256 = re.compile("[0-9a-f]{64}")

_LONGEST_KEY = 200

# Other files in a run's folder, and the manifest itself.
_RESERVED = frozenset({"manifest.json", "images", "logits", "logits.unfinished"})


@dataclass(frozen=True)
class BundleFile:
    """One file; ``path`` is relative to the bundle, with slashes; ``push``: the device needs it."""

    path: str
    sha256: str
    size: int
    executable: bool
    push: bool


@dataclass(frozen=True)
class ModelIdentity:
    """The network; ``sha256`` is that of the ONNX file.

    ``input_shape`` is (height, width, channels) of the uint8 image; the compiled network takes
    ``batch`` images at once, made from pictures by ``preprocessing``.
    """

    name: str
    sha256: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metadata: dict[str, str]
    batch: int = 1
    preprocessing: Preprocessing = OWN


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``; ``versions`` maps package names to versions."""

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

    Raises BundleError that says what is wrong with the manifest.
    """
    try:
        document = strict_json(text)
        _check_texts(document, "manifest")
    except RecursionError as error:
        raise BundleError("is not JSON (too deep)") from error
    except ValueError as error:
        raise BundleError(f"is not JSON ({error})") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise BundleError("has no schema_version")
    if document["schema_version"] not in _READABLE:
        version = reprlib.repr(document["schema_version"])
        raise BundleError(f"has schema version {version}, this program reads {SCHEMA_VERSION}")
    try:
        manifest: Manifest = build_record(Manifest, document, "manifest")
        if "preprocessing" not in document["model"]:
            preprocessing, _ = preprocessing_of(manifest.model.metadata)
            model = replace(manifest.model, preprocessing=preprocessing)
            manifest = replace(manifest, model=model)
        manifest.model.preprocessing.check(manifest.model.input_shape)
    except InputError as error:
        raise BundleError(f"has a wrong value: {error}") from error
    _check_files(manifest.files)
    _check_numbers(manifest)
    return manifest


def _check_files(files: Sequence[BundleFile]) -> None:
    for file in files:
        if not _is_plain(file.path):
            raise BundleError(f"names a file outside the bundle ({reprlib.repr(file.path)})")
        if not _PATH.fullmatch(file.path) or file.path in _RESERVED:
            raise BundleError(f"contains an invalid file name ({reprlib.repr(file.path)})")
        if not _SHA256.fullmatch(file.sha256):
            raise BundleError(f"has a wrong value in the sha256 of '{file.path}'")
        if file.size < 0:
            raise BundleError(f"has a wrong value in the size of '{file.path}'")
    if len({file.path for file in files}) != len(files):
        raise BundleError("names a file twice")
    if sum(file.size for file in files) > MAXIMUM_BUNDLE_BYTES:
        raise BundleError(f"lists files of more than {MAXIMUM_BUNDLE_BYTES >> 30} GiB")


def _check_numbers(manifest: Manifest) -> None:
    """Check the values that would otherwise give wrong results in a bench."""
    model = manifest.model
    if not all(0 < extent <= _MAXIMUM_EXTENT for extent in model.input_shape):
        raise BundleError("has a wrong value in 'manifest.model.input_shape'")
    if not 0 < model.batch <= MAXIMUM_BATCH:
        raise BundleError("has a wrong value in 'manifest.model.batch'")
    if not _SHA256.fullmatch(model.sha256):
        raise BundleError("has a wrong value in 'manifest.model.sha256'")
    if not is_name(model.name):
        raise BundleError(f"has a wrong value in 'manifest.model.name': it must be {NAME_RULE}")
    for index, layer in enumerate(manifest.layers):
        shapes = (*layer.input_shape, *layer.output_shape)
        numbers = (layer.weight_bits, layer.activation_bits, layer.macs)
        if min(shapes, default=0) < 1 or min(numbers) < 0 or max(*shapes, *numbers) >= 1 << 63:
            raise BundleError(f"has a wrong value in 'manifest.layers[{index}]'")


def _is_plain(path: str) -> bool:
    pure = PurePosixPath(path)
    return str(pure) == path and not pure.is_absolute() and ".." not in pure.parts and path != "."


def _is_text(value: str) -> bool:
    """Whether it can be printed and written: no control characters, no lone surrogates."""
    return value.isprintable() or value.replace("\n", "").replace("\t", "").isprintable()


def _check_texts(value: Any, where: str) -> None:
    """Check all texts in a manifest, as each is printed or written somewhere."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not key.isprintable() or len(key) > _LONGEST_KEY:
                raise BundleError(f"has an invalid key in '{where}'")
            _check_texts(part, f"{where}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check_texts(part, f"{where}[{index}]")
    elif isinstance(value, str) and not _is_text(value):
        raise BundleError(f"has a character that is not text in '{where}'")
