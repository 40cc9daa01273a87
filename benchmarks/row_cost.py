"""What a row's network costs on boards: modelled cycles, by llvm-mca. Weights do not matter."""

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison import Run
from bitat_deploy.cycle_model import modelled_network
from bitat_deploy.target import load_target
from bitat_deploy.training import Recipe, build_network, to_integer_network

TARGETS = {"A72": "rpi4", "A53": "rpi3"}


def row_name(run: Run) -> str:
    """The run without its seed."""
    return run.name.rpartition("-seed")[0]


def modelled_costs(recipe: Recipe, report: dict[str, Any]) -> dict[str, float]:
    """Modelled cycles of one image on one core, by the names in TARGETS. Raises InputError.

    Of a network of the recipe's shape and bits that has seen one drawn batch; ``report`` says for
    how many classes and which images.
    """
    shape, classes = report["input_shape"], len(report["class_names"])
    torch.manual_seed(1)
    network = build_network(recipe.network, recipe.quantization, tuple(shape), classes)
    images = torch.rand(16, shape[2], shape[0], shape[1])
    stages = recipe.stages(network)
    stages[-1].configure()
    network.calibrate([images])
    with torch.no_grad():
        network(images)
    integers = to_integer_network(network.eval(), "drawn", report["class_names"], {})
    return {
        core: modelled_network(integers, load_target(target)).cycles
        for core, target in TARGETS.items()
    }


def read_costs(path: Path) -> dict[str, dict[str, float]]:
    """The costs that are kept, by rows."""
    costs: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.is_file() else {}
    return costs
