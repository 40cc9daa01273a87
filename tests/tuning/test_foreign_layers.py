"""Layers of a network from elsewhere are tuned as those of our own."""

from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.compiler.compile import compile_model
from bitat_deploy.errors import InputError
from bitat_deploy.network import Preprocessing, Supplement
from bitat_deploy.records.files import own_records_path
from bitat_deploy.target import load_target
from bitat_deploy.tuning.task import expected_answers, network_layers, tuning_tasks
from tests.foreign.test_end_to_end import BREVITAS
from tests.tune_command import tune


def test_tasks_of_a_mixed_network_have_answers() -> None:
    layers = network_layers(BREVITAS, load_target("rpi4"))
    tasks = tuning_tasks(layers)
    workloads = {task.workload for task in tasks}
    assert len(workloads) >= 3
    assert all(task.operator.kind != "float_quantize" for task in tasks)
    checks = expected_answers(layers, workloads, seed=0)
    assert set(checks) == workloads
    for task in tasks:
        check = checks[task.workload]
        (source,) = check.inputs
        assert check.expected.shape == task.operator.output.shape
        assert len(np.unique(check.expected)) > 1 and len(np.unique(source)) > 1


def test_a_static_target_refuses_it() -> None:
    with pytest.raises(InputError, match="no runtime for such networks"):
        network_layers(BREVITAS, load_target("rpi-32bit"))


def test_the_preprocessing_is_obeyed() -> None:
    with pytest.raises(InputError, match="mean has 2 values"):
        network_layers(BREVITAS, load_target("host"), Supplement(Preprocessing(mean=(0.5, 0.5))))


def test_a_build_takes_what_tune_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    host = load_target("host")
    workloads = {task.workload for task in tuning_tasks(network_layers(BREVITAS, host))}
    printed = tune(BREVITAS, own_records_path(host), "--trials", "1", "--max-noise", "1000")
    assert f"{len(workloads)} candidates tried" in printed
    layers = compile_model(BREVITAS, host, tmp_path / "model.so").layers
    tuned = [layer for layer in layers if layer.tuned]
    assert len(tuned) >= len(workloads)
    assert all(layer.tuned.startswith("local: ") for layer in tuned)
