"""A recipe to a trained network, and a trained network to few bits."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitat_deploy.errors import InputError
from bitat_deploy.installation import install_extra
from bitat_deploy.progress import Progress, silent

if TYPE_CHECKING:
    from bitat_deploy.training import (
        Checkpoint,
        QuantizeOptions,
        Recipe,
        TrainingPlan,
        TrainingProgress,
    )


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A finished run. ``file`` is its checkpoint, for ``export``, ``build`` and ``quantize``."""

    file: Path
    checkpoint: "Checkpoint"

    @property
    def top1(self) -> float | None:
        """Top-1 accuracy on the test images, a fraction of 1; None without test images."""
        return self.checkpoint.top1


def plan_training(
    folder: str | Path,
    *,
    group: str | None = None,
    bits: str | None = None,
    init: str | None = None,
    changes: Sequence[str] = (),
) -> "TrainingPlan":
    """Choose a recipe for a folder of photos by class: ``plan.recipe``, with ``plan.reasons``.

    The folder has CLASS/IMAGE, of which a fifth is held out for testing, or train/CLASS/IMAGE and
    test/CLASS/IMAGE. Photos of a class stay together where the regular expression ``group`` finds
    the same text in their file names. ``bits``: w1a1, w1a2 (the default), w2a2 or w4a4, of
    weights and activations. ``init`` as in a recipe; ``changes`` are values as KEY=VALUE. Raises
    InputError.
    """
    prepare_torch("training")
    from bitat_deploy.training import plan_training as plan

    return plan(Path(folder), group=group, bits=bits, init=init, changes=changes)


def train(
    recipe: "str | Path | Recipe | TrainingPlan",
    data: str | Path | None = None,
    output: str | Path | None = None,
    *,
    changes: Sequence[str] = (),
    checkpoint_seconds: float = 60.0,
    threads: int | None = None,
    progress: "Progress | TrainingProgress" = silent,
) -> TrainedNetwork:
    """Train a recipe, or resume its run, in the folder ``output``, by default runs/RECIPE.

    ``recipe`` is a name or the path of a .yaml file, ``changes`` are its values as KEY=VALUE; or
    what :func:`plan_training` gives.
    ``data`` is a folder with the data set's files; otherwise they are found or downloaded. A
    checkpoint is written every ``checkpoint_seconds``: the most work that a killed run loses.
    Raises InputError, also where torch is not installed, and the errors of ``training.train``.
    """
    prepare_torch("training", threads)
    from bitat_deploy.training import (
        CHECKPOINT_NAME,
        TrainingPlan,
        TrainingProgress,
        joined_workers,
        load_recipe,
    )
    from bitat_deploy.training import train as run

    reasons = recipe.reasons if isinstance(recipe, TrainingPlan) else ()
    chosen = recipe.recipe if isinstance(recipe, TrainingPlan) else recipe
    loaded = load_recipe(str(chosen), changes) if isinstance(chosen, str | Path) else chosen
    folder = Path("runs") / loaded.name if output is None else Path(output)
    with joined_workers() as workers:
        shown = _told(progress) if workers.main else TrainingProgress()
        checkpoint = run(loaded, _path(data), folder, shown, checkpoint_seconds, workers, reasons)
    return TrainedNetwork(folder / CHECKPOINT_NAME, checkpoint)


def quantize(
    checkpoint: str | Path,
    options: "QuantizeOptions",
    data: str | Path | None = None,
    output: str | Path | None = None,
    *,
    images: int = 1000,
    threads: int | None = None,
    progress: "Progress | TrainingProgress" = silent,
) -> TrainedNetwork:
    """Quantize the network of ``checkpoint`` to few bits, on ``images`` pictures without labels.

    ``data`` is a folder or tar archive of pictures, by default the checkpoint's data set;
    ``output`` a folder, by default runs/NAME-wWaA with the numbers of bits. Raises InputError, also
    where torch is not installed.
    """
    prepare_torch("quantizing", threads)
    from bitat_deploy.training import quantize_run

    folder = _path(output)
    state, file = quantize_run(
        Path(checkpoint), _path(data), folder, options, images, _told(progress)
    )
    return TrainedNetwork(file, state)


def prepare_torch(purpose: str, threads: int | None = None) -> None:
    """Settings of this process, best made before torch is imported.

    Raises InputError where it is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(f"{purpose} needs PyTorch; install it with: {install_extra('train')}")
    from bitat_deploy.training import tune_process

    tune_process()
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _told(progress: "Progress | TrainingProgress") -> "TrainingProgress":
    from bitat_deploy.training import ReportedProgress, TrainingProgress

    return progress if isinstance(progress, TrainingProgress) else ReportedProgress(progress)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
