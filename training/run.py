"""One training run in one folder: start it, or go on where it stopped."""

from pathlib import Path

from rich.console import Console

from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.recipe import Recipe
from bitat_deploy.training.report import write_report
from bitat_deploy.training.trainer import Trainer

CHECKPOINT_NAME = "checkpoint.pt"
REPORT_NAME = "report.json"


def train(
    recipe: Recipe,
    data_path: Path | None,
    output: Path,
    console: Console,
    checkpoint_seconds: float = 60.0,
) -> Checkpoint:
    """Train ``recipe`` in the folder ``output``, resuming from a checkpoint found there.

    Leaves ``checkpoint.pt`` and ``report.json``. Raises InputError when the folder holds another
    recipe's run, TrainingDivergedError when training fails.
    """
    path = output / CHECKPOINT_NAME
    state = load_checkpoint(path) if path.exists() else None
    if state is not None and state.recipe != recipe:
        raise InputError(
            f"'{output}' holds a run of recipe '{state.recipe.name}' with other values; "
            "give another --output, or remove the folder to start again"
        )
    trainer = Trainer(recipe, data_path, path, checkpoint_seconds)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to '{output}': {error.strerror}") from error
    with TrainingProgress(console) as progress:
        if state is not None:
            progress.note(f"resuming from {path}")
        result = trainer.run(state or trainer.start(), progress)
    write_report(result, output / REPORT_NAME)
    return result
