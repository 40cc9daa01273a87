"""The accuracy of a twin that was trained: read from the report of its training run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.plain_text import foreign_text

_REPORT = "report.json"
_MAXIMUM_BYTES = 64_000_000


@dataclass(frozen=True)
class TrainedTwin:
    """Name and test accuracy, a fraction of 1, of a run that trained in ``arithmetic``."""

    run: str
    arithmetic: str
    top1: float


def trained_twins(runs: Sequence[Path], dataset: str) -> dict[str, TrainedTwin]:
    """By arithmetic, float32 or int8: what the folders ``runs`` of ``train`` tell.

    ``dataset`` is what the network was trained on, empty if unknown. Raises InputError for another
    folder, another data set, other bits, and a second run of the same arithmetic.
    """
    found: dict[str, TrainedTwin] = {}
    for folder in runs:
        twin = _read(folder, dataset)
        if twin.arithmetic in found:
            raise InputError(f"'{folder}' is a second run in {twin.arithmetic}; give one of them")
        found[twin.arithmetic] = twin
    return found


def _read(folder: Path, dataset: str) -> TrainedTwin:
    path = folder / _REPORT
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAXIMUM_BYTES))
        recipe, top1 = document["recipe"], document["accuracy"]["top1"]
        trained_on, arithmetic = recipe["dataset"], _arithmetic(recipe)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"'{folder}' is not the folder of a finished training run; give one that train wrote"
        ) from error
    if arithmetic is None:
        raise InputError(f"the run '{folder}' is neither in float32 nor in 8 bits; give another")
    if not isinstance(top1, float) or not 0 <= top1 <= 1:
        raise InputError(f"the run '{folder}' has no test accuracy; train it with test images")
    if dataset and trained_on != dataset:
        shown = foreign_text(str(trained_on))
        raise InputError(
            f"the run '{folder}' was trained on '{shown}', the network on '{dataset}'; give "
            "another run"
        )
    return TrainedTwin(foreign_text(str(recipe.get("name", folder.name))), arithmetic, top1)


def _arithmetic(recipe: Mapping[str, Any]) -> str | None:
    if recipe["method"] == "full-precision":
        return "float32"
    bits = recipe["quantization"]
    return "int8" if (bits["weight_bits"], bits["activation_bits"]) == (8, 8) else None
