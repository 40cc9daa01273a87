"""Checkpoints: everything a run needs to go on, or a network to be exported from."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.errors import InputError
from bitat_deploy.training.recipe import Recipe, recipe_from_mapping

FORMAT = "bitat-deploy checkpoint"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run's state between two steps.

    ``stage`` and ``step`` are the next to be done (``stage`` equals the number of stages at the
    end); ``optimizer`` is None between stages; ``teacher`` holds the full-precision twin's logits
    for each training image, float32 [N, classes], once they exist; ``history`` one plain record
    for each finished stage; ``top1`` the integer evaluation on ``test_images`` once done.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    network: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    stage: int
    step: int
    teacher: Tensor | None
    history: tuple[dict[str, Any], ...]
    elapsed: float
    top1: float | None = None
    test_images: int | None = None


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write beside ``path``, then rename: a kill at any moment leaves a whole file."""
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    document = {"format": FORMAT, "version": VERSION, **fields, "recipe": asdict(checkpoint.recipe)}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    with beside.open("wb") as file:
        torch.save(document, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises InputError when it is missing, damaged or of another version."""
    if not path.is_file():
        raise InputError(f"checkpoint '{path}' does not exist")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"checkpoint '{path}' is damaged or not a checkpoint") from error
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise InputError(f"'{path}' is not a checkpoint of bitat-deploy")
    version = document.pop("version", None)
    if version != VERSION:
        raise InputError(
            f"checkpoint '{path}' has version {version}, this program reads version {VERSION}; "
            "train again or use the matching release"
        )
    if set(document) != set(Checkpoint.__dataclass_fields__):
        raise InputError(f"checkpoint '{path}' is damaged: its keys are not those of a checkpoint")
    document["recipe"] = recipe_from_mapping(document["recipe"])
    return Checkpoint(**document)
