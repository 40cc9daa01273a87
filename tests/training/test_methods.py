"""What holds for every method that a recipe of the package has, with no list of them here."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bitat_deploy.training import trainer
from bitat_deploy.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.recipe import (
    Recipe,
    load_recipe,
    read_recipe,
    recipe_from_mapping,
    recipe_names,
)
from tests.datasets.idx_files import write_folder

EXAMPLES = {load_recipe(name).method: name for name in sorted(recipe_names(), reverse=True)}


def small(name: str) -> Recipe:
    """The recipe with two steps a stage, on a narrow network."""
    values: dict[str, Any] = read_recipe(name)
    blocks = {"architecture": "mobilenet-v1", "block": "shortcut", "blocks": [[8, 2], [8, 1]]}
    values["network"] = {**blocks, "width": 1.0, "stem_channels": 8, "stem_stride": 2}
    values["dataset"] = "fashion-mnist"
    values["data"] = {"train_images": 96, "validation_images": 32, "test_images": 20}
    values["data"] |= {"batch_size": 16, "calibration_images": 32}
    values["data"] |= {"random_resized_crop": [0.4, 1.0], "crop": 24, "mixup": 0.4}
    values["optimizer"] = {**values.get("optimizer", {}), "ema": 0.9, "label_smoothing": 0.1}
    if values["method"] != "full-precision":  # whose run has no twin that could teach
        values["distillation"] = {"weight": 0.5}
    if values.pop("init", None) is not None:  # another recipe's run
        values["full_precision"] = {"epochs": 0.5, "learning_rate": 0.01}
    values.get("quantization", {}).pop("signed_bottleneck", None)
    for section in values.values():
        if isinstance(section, dict) and "learning_rate" in section:
            section |= {key: 0.5 for key in section if key.endswith("epochs")}
    return recipe_from_mapping(values)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("method", sorted(EXAMPLES))
def test_a_run_stopped_anywhere_ends_with_the_same_weights(
    method: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, kept = small(EXAMPLES[method]), tmp_path / "kept"
    kept.mkdir()

    def keep(state: Checkpoint, path: Path) -> None:
        save_checkpoint(state, path)
        shutil.copy(path, kept / f"{len(list(kept.iterdir())):03}.pt")

    monkeypatch.setattr(trainer, "save_checkpoint", keep)
    progress = TrainingProgress()
    first = trainer.Trainer(recipe, data, tmp_path / "checkpoint.pt", 0.0)
    whole = first.run(first.start(), progress)
    monkeypatch.undo()
    assert whole.stage == len(whole.history)
    states = sorted(kept.iterdir())
    trained = sum(1 for stage in whole.history if stage["steps"])
    assert len(states) == trained + len(whole.history) + 1  # in, after each stage, and evaluated
    for state in [states[0], *states[1 : -2 : max(1, len(states) // 4)], states[-2]]:
        again = trainer.Trainer(recipe, data, tmp_path / "checkpoint.pt")
        resumed = again.run(load_checkpoint(state), progress)
        assert resumed.result == whole.result, state.name
        for name, value in whole.network.items():
            assert torch.equal(resumed.network[name], value), (state.name, name)
