"""Finished runs of a small network, and folders of photos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bitat_deploy.training.checkpoint import Checkpoint, save_checkpoint
from bitat_deploy.training.networks import build_network
from bitat_deploy.training.recipe import recipe_from_mapping

SHAPE = (16, 16, 3)
CLASSES = ("dark", "light", "red")
STAGE = {"epochs": 0.5, "learning_rate": 0.01}


def values(**changes: Any) -> dict[str, Any]:
    given = {
        "name": "drawn",
        "description": "two shortcut blocks",
        "dataset": "image-folder",
        "method": "full-precision",
        "network": {
            "architecture": "mobilenet-v1",
            "block": "shortcut",
            "width": 1.0,
            "stem_channels": 8,
            "stem_stride": 2,
            "blocks": [[8, 1], [16, 2]],
        },
        "quantization": {"quantizer": "uniq"},
        "data": {"batch_size": 16, "image_size": 16},
        "full_precision": STAGE,
    }
    return given | changes


def checkpoint(path: Path, **changes: Any) -> Path:
    """Of a run that is over, as far as the file tells, with moving averages of drawn images."""
    recipe = recipe_from_mapping(values(**changes))
    torch.manual_seed(3)
    network = build_network(recipe.network, recipe.quantization, SHAPE, len(CLASSES))
    stages = recipe.stages(network)
    stages[-1].configure()
    images = torch.rand(32, 3, 16, 16)
    for stage in stages:
        stage.begin(lambda: iter([images]))
    stages[-1].configure()
    for _ in range(20):
        network(images)
    state = Checkpoint(recipe, CLASSES, SHAPE, network.state_dict(), stage=len(stages))
    save_checkpoint(replace(state, result={"top1": 0.5, "images": 3}), path)
    return path


def draw_photos(folder: Path, count: int, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = generator.integers(0, 256, (20, 17 + number % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
