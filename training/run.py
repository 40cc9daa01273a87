"""One training run in one folder: starts it, or resumes it."""

from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.errors import InputError
from bitat_deploy.files import whole_file
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint
from bitat_deploy.training.curves import draw_curves
from bitat_deploy.training.distributed import Workers
from bitat_deploy.training.errors import CheckpointNotSavedError
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.recipe import Recipe, recipe_text
from bitat_deploy.training.report import training_report, write_report
from bitat_deploy.training.trainer import Trainer

CHECKPOINT_NAME = "checkpoint.pt"
REPORT_NAME = "report.json"
CURVES_NAME = "curves.png"
RECIPE_NAME = "recipe.yaml"


def train(
    recipe: Recipe,
    data_path: Path | None,
    output: Path,
    progress: TrainingProgress | None = None,
    checkpoint_seconds: float = 60.0,
    workers: Workers | None = None,
    comments: Sequence[str] = (),
) -> Checkpoint:
    """Train ``recipe`` in the folder ``output``, resuming from a checkpoint found there.

    Leaves ``checkpoint.pt``, ``report.json``, ``curves.png`` and ``recipe.yaml``, with ``comments``
    at its top. Raises InputError when the folder
    holds another recipe's run, TrainingDivergedError when training fails, CheckpointNotSavedError
    when the disk is full. Only the main one of ``workers`` writes.
    """
    progress, workers = progress or TrainingProgress(), workers or Workers()
    path = output / CHECKPOINT_NAME
    state = load_checkpoint(path) if path.exists() else None
    if state is not None and state.recipe != recipe:
        raise InputError(
            f"'{output}' holds a run of recipe '{state.recipe.name}' with other values; "
            "give another --output, or remove the folder to start again"
        )
    trainer = Trainer(recipe, data_path, path, checkpoint_seconds, workers)
    try:
        output.mkdir(parents=True, exist_ok=True)
        if workers.main and not (output / RECIPE_NAME).exists():
            with whole_file(output / RECIPE_NAME) as file:
                file.write(recipe_text(recipe, comments).encode())
    except OSError as error:
        raise InputError(f"cannot write to '{output}': {error.strerror}") from error
    if state is None:
        state = trainer.start()
        if trainer.start_note:
            progress.note(trainer.start_note)
    else:
        progress.note(f"resuming from {path}")
        state = trainer.resumed(state)
    result = trainer.run(state, progress)
    if workers.main:
        try:
            write_report(result, output / REPORT_NAME)
            draw_curves(training_report(result), output / CURVES_NAME)
        except OSError as error:
            raise CheckpointNotSavedError(
                f"the report in '{output}' cannot be written ({error.strerror}); the checkpoint is "
                "complete: free some space and run the same command again"
            ) from error
    return result
