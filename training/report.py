"""A training run's report: what was trained, how well, how fast, with what."""

import json
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import numpy
import torch

from bitat_deploy.files import whole_file
from bitat_deploy.training.checkpoint import Checkpoint
from bitat_deploy.training.cost import network_cost
from bitat_deploy.training.processor import processor_name
from bitat_deploy.training.twin import finished_network
from bitat_deploy.version import __version__

SCHEMA_VERSION = 2


def training_report(checkpoint: Checkpoint) -> dict[str, Any]:
    """Plain values for JSON; accuracies are fractions of 1.

    ``epochs``: loss, validation accuracy, fraction of signs flipped in each layer, step time
    [s], images/s. ``stages``: what each left behind, for a layer of BiTAT the output error before
    and after its commit. ``cost``: multiply-accumulates of one image by the bits they take.
    ``resumed_after_steps``: how many were done each time that the run was resumed.
    ``bfloat16_convolutions``: whether dense layers trained in it, on the processor.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "recipe": checkpoint.recipe.plain(),
        "seed": checkpoint.recipe.seed,
        "input_shape": list(checkpoint.input_shape),
        "class_names": list(checkpoint.class_names),
        "accuracy": checkpoint.result,
        "cost": network_cost(finished_network(checkpoint)),
        "stages": list(checkpoint.history),
        "epochs": list(checkpoint.epochs),
        "elapsed_seconds": round(checkpoint.elapsed, 1),
        "resumed_after_steps": list(checkpoint.resumed),
        "bfloat16_convolutions": checkpoint.narrow,
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """What the figures of a run depend on besides its recipe."""
    cuda = torch.cuda.is_available()
    return {
        "processor": torch.cuda.get_device_name() if cuda else processor_name(),
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if cuda else peak_memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "bitat_deploy": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }


def peak_memory() -> int:
    """The most memory this process has held so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_report(checkpoint: Checkpoint, path: Path) -> None:
    """Write :func:`training_report` as JSON."""
    with whole_file(path) as file:
        file.write((json.dumps(training_report(checkpoint), indent=2) + "\n").encode())
