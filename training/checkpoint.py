"""Checkpoints: the state of a run, to resume it or to export its network."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.plain_text import message_lines
from bitat_deploy.training.errors import CheckpointNotSavedError
from bitat_deploy.training.recipe import Recipe, recipe_from_mapping

FORMAT = "bitat-deploy checkpoint"
VERSION = 5


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run's state between two steps.

    ``stage`` and ``step`` are the next to be done (``stage`` equals the number of stages at the
    end); ``optimizer`` is the state of a stage's optimizer and average weights, None between
    stages; ``memory`` is the state of the stage or, between stages, of the one before; ``teacher``
    is the state of the run's own full-precision twin, once it teaches; ``open_epoch`` the sums of
    an epoch that is not over;
    ``history`` one plain record for each finished stage, ``epochs`` one for each finished epoch;
    ``result`` the evaluation on the test images once done; ``resumed`` how many steps of the run
    were done each time that it was resumed; ``narrow`` whether dense layers train in bfloat16.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    network: dict[str, Tensor]
    optimizer: dict[str, Any] | None = None
    stage: int = 0
    step: int = 0
    memory: dict[str, Any] | None = None
    teacher: dict[str, Tensor] | None = None
    open_epoch: dict[str, Any] | None = None
    history: tuple[dict[str, Any], ...] = ()
    epochs: tuple[dict[str, Any], ...] = ()
    elapsed: float = 0.0
    result: dict[str, Any] | None = None
    resumed: tuple[int, ...] = ()
    narrow: bool = False

    @property
    def top1(self) -> float | None:
        """Top-1 accuracy on the test images, a fraction of 1, once the run is over."""
        return None if self.result is None else self.result["top1"]

    @property
    def test_images(self) -> int | None:
        """Number of images it was measured on."""
        return None if self.result is None else self.result["images"]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``path``, of which a killed run leaves the complete file before this one.

    Raises CheckpointNotSavedError where that fails; an older file stays as it was.
    """
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    write_document({**fields, "recipe": checkpoint.recipe.plain()}, FORMAT, VERSION, path)


def write_document(values: dict[str, Any], kind: str, version: int, path: Path) -> None:
    """Write plain values and tensors as :func:`save_checkpoint` does; ``kind`` names the format."""
    document = {"format": kind, "version": version, **values}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            torch.save(document, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch's writer has errors of its own
        cause: BaseException = error
        while not isinstance(cause, OSError) and cause.__context__ is not None:
            cause = cause.__context__
        reason = getattr(cause, "strerror", None) or message_lines(error)[0]
        kept = "the one before it is kept" if path.exists() else "none was saved before"
        raise CheckpointNotSavedError(
            f"the checkpoint '{path}' cannot be written ({reason}); {kept}: free some space and "
            "run the same command again to resume"
        ) from error


def read_document(path: Path) -> dict[str, Any]:
    """What :func:`write_document` wrote. Raises InputError for anything else."""
    if not path.is_file():
        raise InputError(f"checkpoint '{path}' does not exist")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"checkpoint '{path}' is damaged or not a checkpoint") from error
    if not isinstance(document, dict) or "format" not in document:
        raise InputError(f"'{path}' is not a checkpoint of bitat-deploy")
    return document


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises InputError when it is missing, damaged or of another version."""
    document = read_document(path)
    if document.pop("format", None) != FORMAT:
        raise InputError(f"'{path}' is not a checkpoint of a training run of bitat-deploy")
    version = document.pop("version", None)
    if version in (3, 4) and "recipe" in document:
        _bring_up_to_date(document, path)
    elif version != VERSION:
        raise InputError(
            f"checkpoint '{path}' has version {version}, this program reads version {VERSION}; "
            "train again or use the matching release"
        )
    document = {"resumed": (), "narrow": False, **document}  # not in this version's first files
    if set(document) != set(Checkpoint.__dataclass_fields__):
        raise InputError(f"checkpoint '{path}' is damaged: its keys are not those of a checkpoint")
    document["recipe"] = recipe_from_mapping(document["recipe"])
    return Checkpoint(**document)


def _bring_up_to_date(document: dict[str, Any], path: Path) -> None:
    """Convert a finished run of version 3 or 4. Raises InputError for an unfinished one: it would
    continue differently."""
    if document.get("result") is None:
        raise InputError(
            f"checkpoint '{path}' is of a run that an earlier version began, and training has "
            "changed since; finish it with the earlier release, or train again"
        )
    document.pop("bitat", None)  # version 3: the stages' memory, of no use once they are over
    document |= {"memory": None, "teacher": None}
    document["recipe"]["network"]["normalized_stream"] = False  # there was none yet
