"""What a row's network costs on boards: modelled cycles, by llvm-mca. Weights do not matter."""

import json
from pathlib import Path
from typing import Any

from benchmarks.comparison import Run
from bitat_deploy.cycle_model import modelled_network
from bitat_deploy.target import load_target
from bitat_deploy.training import Recipe, drawn_network

TARGETS = {"A72": "rpi4", "A53": "rpi3"}


def row_name(run: Run) -> str:
    """The run without its seed."""
    return run.name.rpartition("-seed")[0]


def modelled_costs(recipe: Recipe, report: dict[str, Any]) -> dict[str, float]:
    """Modelled cycles of one image on one core, by the names in TARGETS. Raises InputError.

    ``report`` of a run of the recipe says for how many classes and which images it is.
    """
    height, width, channels = report["input_shape"]
    network = drawn_network(recipe, (height, width, channels), tuple(report["class_names"]))
    return {
        core: modelled_network(network, load_target(target)).cycles
        for core, target in TARGETS.items()
    }


def read_costs(path: Path) -> dict[str, dict[str, float]]:
    """The costs that are kept, by rows."""
    costs: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.is_file() else {}
    return costs
