"""A training run's report: what was trained, how well, with what."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch

from bitat_deploy import __version__
from bitat_deploy.training.checkpoint import Checkpoint

SCHEMA_VERSION = 1


def training_report(checkpoint: Checkpoint) -> dict[str, Any]:
    """Plain values for JSON; ``top1`` is a fraction of 1, from the integer evaluation."""
    return {
        "schema_version": SCHEMA_VERSION,
        "recipe": asdict(checkpoint.recipe),
        "seed": checkpoint.recipe.seed,
        "accuracy": {"top1": checkpoint.top1, "images": checkpoint.test_images},
        "stages": list(checkpoint.history),
        "elapsed_seconds": round(checkpoint.elapsed, 1),
        "threads": torch.get_num_threads(),
        "versions": {
            "bitat_deploy": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
    }


def write_report(checkpoint: Checkpoint, path: Path) -> None:
    """Write :func:`training_report` as JSON, beside and then renamed."""
    beside = path.with_name(path.name + ".partial")
    beside.write_text(json.dumps(training_report(checkpoint), indent=2) + "\n")
    beside.replace(path)
