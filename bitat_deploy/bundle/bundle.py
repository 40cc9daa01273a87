"""Bundles on disk: written completely or not at all, and read with every check."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.bundle.manifest import (
    MAXIMUM_MANIFEST_BYTES,
    BundleFile,
    Manifest,
    parse_manifest,
)
from bitat_deploy.errors import BundleError, InputError
from bitat_deploy.files import whole_folder
from bitat_deploy.target import Target

MANIFEST = "manifest.json"
MODEL_ONNX = "model.onnx"
SOURCE_ONNX = "source.onnx"  # of a network from elsewhere: its file, for the baseline
MODEL_LIBRARY = "model.so"
MODEL_DESCRIPTION = "model.txt"  # facts about model.so for the device library
NETWORK_OBJECT = "network.o"  # the network of a static bundle, for programs besides the runner
RUNNER = "runner"
NOTICES = "NOTICES.txt"
LIBRARY_FOLDER = "lib"
DEVICE_LIBRARY = "libbitat_deploy.so"
DEVICE_MODULE = "bitat_device.py"  # the same for programs in Python on the device

# What bench and run do not need on the device.
_STAYS_HERE = frozenset({MODEL_ONNX, SOURCE_ONNX, NETWORK_OBJECT, NOTICES, DEVICE_MODULE})


@dataclass(frozen=True)
class Bundle:
    """A folder with everything that a device needs, and its manifest.

    ``identity`` is the sha256 of the manifest, which lists the sha256 of every file.
    """

    directory: Path
    manifest: Manifest
    identity: str

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest lists."""
        return sum(file.size for file in self.manifest.files)

    @property
    def model_file(self) -> str:
        """The file with the compiled network; in a static bundle it is the runner."""
        return model_file(self.manifest.target)

    @property
    def model_size(self) -> int:
        """Bytes of that file."""
        return next(file.size for file in self.manifest.files if file.path == self.model_file)

    @property
    def pushed_files(self) -> tuple[BundleFile, ...]:
        """The files that the device needs."""
        return tuple(file for file in self.manifest.files if file.push)


def model_file(target: Target) -> str:
    """Path in a bundle for ``target`` of the file with the compiled network."""
    return RUNNER if target.is_static else MODEL_LIBRARY


def describe_files(contents: Mapping[str, Path]) -> tuple[BundleFile, ...]:
    """Entries of the manifest for ``contents``: path in the bundle to the file it is now."""
    return tuple(
        BundleFile(
            path=path,
            sha256=file_sha256(source),
            size=source.stat().st_size,
            executable=path == RUNNER,
            push=path not in _STAYS_HERE,
        )
        for path, source in sorted(contents.items())
    )


def check_output(directory: Path) -> None:
    """Raise InputError if ``directory`` is not writable or contains something else."""
    if directory.exists() and not _is_replaceable(directory):
        raise InputError(
            f"'{directory}' exists and is not a bundle, so it is left unchanged; "
            "choose another folder with -o"
        )
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=directory.parent).cleanup()
    except OSError as error:
        raise InputError(
            f"no bundle can be written to '{directory}' ({error.strerror}); "
            "choose another folder with -o"
        ) from error


def write_bundle(directory: Path, manifest: Manifest, contents: Mapping[str, Path]) -> Bundle:
    """Copy ``contents`` and the manifest to ``directory``, which appears complete or not at all.

    An older bundle there is replaced. Raises InputError as :func:`check_output` does.
    """
    check_output(directory)
    with whole_folder(directory, ".bundle-") as unfinished:
        for file in manifest.files:
            destination = unfinished / file.path
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(contents[file.path], destination)
            destination.chmod(0o755 if file.executable else 0o644)
        text = manifest.to_json()
        (unfinished / MANIFEST).write_text(text, encoding="utf-8")
    return Bundle(directory, manifest, _text_sha256(text))


def _is_replaceable(directory: Path) -> bool:
    """Whether ``directory`` is empty or a bundle, so that no user's files are lost."""
    return directory.is_dir() and ((directory / MANIFEST).is_file() or not any(directory.iterdir()))


def read_bundle(directory: Path) -> Bundle:
    """Read a bundle, checking size and sha256 of every file.

    Raises InputError if there is no bundle, BundleError if it is damaged or was changed.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(
            f"'{directory}' is not a bundle (it has no {MANIFEST}); "
            "'bitat-deploy build --target NAME' makes one"
        )
    try:
        text = _manifest_text(path)
        manifest = parse_manifest(text)
    except UnicodeDecodeError as error:
        raise BundleError(f"'{path}' is not text; build the bundle again") from error
    except BundleError as error:
        raise BundleError(f"'{path}' {error}; build the bundle again") from error
    except OSError as error:
        raise BundleError(f"'{path}' cannot be read: {error.strerror}") from error
    for file in manifest.files:
        _check(directory, file)
    missing = {MODEL_ONNX, model_file(manifest.target), RUNNER} - {
        file.path for file in manifest.files
    }
    if missing:
        raise BundleError(f"'{path}' does not list '{min(missing)}'; build the bundle again")
    identities = {file.path: file.sha256 for file in manifest.files}
    if identities[MODEL_ONNX] != manifest.model.sha256:
        raise BundleError(f"'{path}' describes another model than its '{MODEL_ONNX}'; build again")
    return Bundle(directory, manifest, _text_sha256(text))


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _manifest_text(path: Path) -> str:
    if path.is_symlink():
        raise BundleError("is a symbolic link, which no bundle has")
    with path.open("rb") as file:
        content = file.read(MAXIMUM_MANIFEST_BYTES + 1)
    if len(content) > MAXIMUM_MANIFEST_BYTES:
        raise BundleError("is too large for a manifest")
    return content.decode()


def _check(directory: Path, file: BundleFile) -> None:
    path = directory / file.path
    steps = [path, *path.parents]
    if any(step.is_symlink() for step in steps[: steps.index(directory)]):
        raise BundleError(f"'{path}' is a symbolic link, which no bundle has; build again")
    if not path.is_file():
        raise BundleError(f"the bundle '{directory}' lacks '{file.path}'; build again")
    try:
        intact = path.stat().st_size == file.size and file_sha256(path) == file.sha256
    except OSError as error:
        raise BundleError(f"'{path}' cannot be read: {error.strerror}") from error
    if not intact:
        raise BundleError(
            f"the bundle '{directory}' was changed after it was built: '{file.path}'; build again"
        )


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
