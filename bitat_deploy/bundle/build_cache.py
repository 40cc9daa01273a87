"""A cache of finished bundles, so that nothing is compiled twice.

An entry is a bundle, so reading it checks every file. Its name is the checksum of all inputs: the
model, the target, tuning records, our code, and the packages it uses. A damaged entry counts as
missing. The folder may be deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from bitat_deploy.bundle.bundle import MANIFEST, Bundle, read_bundle
from bitat_deploy.errors import BundleError, InputError
from bitat_deploy.files import whole_folder
from bitat_deploy.paths import cache_directory
from bitat_deploy.records import records_identity
from bitat_deploy.target import Target

MAXIMUM_ENTRIES = 20  # about 10 MB each

# The parts of this package that determine a bundle's content.
_STAGES = (
    "network",
    "onnx_format",
    "foreign",
    "operators",
    "records",
    "compiler",
    "bundle",
    "runner",
)
_MODULES = ("target.py", "plain_text.py", "version.py", "datasets/drawn.py")
_SOURCES = frozenset({".py", ".c", ".cc", ".h", ".hpp", ".map", ".txt"})

_PACKAGES = ("apache-tvm", "apache-tvm-ffi", "numpy", "onnx", "onnxruntime", "ziglang")


def build_key(model_sha256: str, target: Target, options: Mapping[str, Any]) -> str:
    """Name of the entry for a model built for ``target``.

    ``options`` are all other options of the build that change the bundle, as JSON values.
    """
    parts = {
        "model": model_sha256,
        "target": asdict(target),
        "options": dict(options),
        "records": records_identity(target),
        "code": _code_identity(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fetch(key: str, workspace: Path) -> Bundle | None:
    """A copy of the entry in ``workspace``, safe from removal; None if there is no entry."""
    entry, copy = _entries() / key, workspace / "cached"
    try:
        bundle = read_bundle(entry)
        for file in (*bundle.manifest.files, None):
            path = Path(MANIFEST if file is None else file.path)
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry / path, copy / path)
        bundle = read_bundle(copy)  # another build may have replaced it meanwhile
        os.utime(entry)  # the time of last use
    except (BundleError, InputError, OSError):
        return None
    return bundle


def store(key: str, bundle: Bundle) -> None:
    """Keep a copy of ``bundle``, and remove the least recently used entries.

    The entry appears complete or not at all. If the cache cannot be written it stays unchanged: the
    build does not depend on it.
    """
    with contextlib.suppress(OSError):
        _entries().mkdir(parents=True, exist_ok=True)
        # One that is there is damaged, or another build was faster.
        with whole_folder(_entries() / key, ".new-") as entry:
            shutil.copytree(bundle.directory, entry, dirs_exist_ok=True)
        _drop_oldest()


def _entries() -> Path:
    return cache_directory() / "bundles"


def _drop_oldest() -> None:
    entries = [path for path in _entries().iterdir() if not path.name.startswith(".")]
    entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for entry in entries[MAXIMUM_ENTRIES:]:
        shutil.rmtree(entry, ignore_errors=True)


def _code_identity() -> str:
    """Checksum of our own sources, not only of the version, since developers change them."""
    package = Path(__file__).parents[1]
    paths = [package / name for name in _MODULES]
    for stage in _STAGES:
        paths += [path for path in (package / stage).rglob("*") if path.suffix in _SOURCES]
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
