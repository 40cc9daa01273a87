"""A recipe of two small blocks on a few images that tests draw."""

from typing import Any

from bitat_deploy.training.recipe import Recipe, recipe_from_mapping

STAGE = {"epochs": 1.0, "learning_rate": 0.01}


def recipe(block: str = "shortcut", **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": "drawn",
        "description": "two blocks",
        "dataset": "fashion-mnist",
        "method": "straight-through",
        "network": {
            "architecture": "mobilenet-v1",
            "block": block,
            "width": 1.0,
            "stem_channels": 8,
            "stem_stride": 2,
            "blocks": [[8, 2], [8, 1]],
        },
        "data": {"train_images": 96, "validation_images": 0, "test_images": 20, "batch_size": 16},
        "full_precision": STAGE,
        "quantized": STAGE,
    }
    return recipe_from_mapping(values | changes)
