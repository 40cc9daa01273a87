"""What the worker processes do: train one run, and say how many images it answers rightly."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.plain_values import build_record

CHECKPOINT = "checkpoint.pt"
_SCORE = "validation.json"


@dataclass(frozen=True)
class Score:
    """Of ``images``, ``right`` were answered rightly."""

    right: int
    images: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.images or self.images == 0:
            raise InputError("right must be from 0 to images, and there must be images")

    @property
    def accuracy(self) -> float:
        """A fraction of 1."""
        return self.right / self.images


def is_trained(folder: Path) -> bool:
    """Whether the run in ``folder`` is finished."""
    return (folder / _SCORE).exists()


def read_score(path: Path) -> Score:
    """What train_run kept. Raises InputError."""
    try:
        score: Score = build_record(Score, json.loads(path.read_text()), "validation")
    except (OSError, ValueError, RecursionError, InputError) as error:
        raise InputError(f"'{path}' is damaged; remove it to evaluate the run again") from error
    return score


def train_run(recipe: dict[str, Any], data: Path, folder: Path, threads: int) -> Score:
    """Train in ``folder``, where a stopped run goes on; the score on the validation images.

    A run that is finished is only read. Raises what training raises.
    """
    kept = folder / _SCORE
    if is_trained(folder):
        return read_score(kept)
    _prepare(threads)
    from bitat_deploy.training import TrainingProgress, recipe_from_mapping, right_answers, train

    train(recipe_from_mapping(recipe), data, folder, TrainingProgress())
    right = right_answers(folder / CHECKPOINT, data)
    score = Score(int(right.sum()), len(right))
    with whole_file(kept) as file:
        file.write(json.dumps(asdict(score)).encode())
    return score


def test_run(data: Path, folder: Path, threads: int) -> Score:
    """The score of a finished run on all test images."""
    _prepare(threads)
    from bitat_deploy.training import right_answers

    right = right_answers(folder / CHECKPOINT, data, test=True)
    return Score(int(right.sum()), len(right))


def training_speed(
    recipe: dict[str, Any], input_shape: tuple[int, int, int], classes: int, threads: int
) -> float:
    """Seconds for one image of training here, roughly."""
    _prepare(threads)
    from bitat_deploy.training import recipe_from_mapping, seconds_per_image

    return seconds_per_image(recipe_from_mapping(recipe), input_shape, classes)


def _prepare(threads: int) -> None:
    from bitat_deploy.training import tune_process

    tune_process()  # before torch is imported
    import torch

    torch.set_num_threads(threads)
