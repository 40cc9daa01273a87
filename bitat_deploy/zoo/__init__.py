"""The zoo: networks that we trained, as ONNX files.

``NAME.onnx`` is the network; ``NAME.json`` has the recipe, seed and data of its training, and its
accuracy.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError

DEFAULT_MODEL = "fashion-mnist-mobilenet"


def zoo_names() -> list[str]:
    """Names of all networks in the zoo, sorted."""
    return sorted(path.stem for path in _directory().glob("*.onnx"))


def resolve_model(model: str) -> Path:
    """The file for a name from the zoo, or for a path to an ONNX file or a checkpoint.

    Raises InputError if it is neither.
    """
    if model in zoo_names():
        return _directory() / f"{model}.onnx"
    path = Path(model)
    if path.is_file():
        return path
    raise InputError(
        f"there is no file '{model}', and no network with that name in the zoo; "
        f"the zoo has: {', '.join(zoo_names())}"
    )


def training_report(name: str) -> dict[str, Any] | None:
    """The report of the training run of a network in the zoo; None if there is none."""
    path = _directory() / f"{name}.json"
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def _directory() -> Path:
    return Path(str(resources.files("bitat_deploy").joinpath("zoo")))
