"""Layers of a network from elsewhere are tuned as those of our own."""

import numpy as np
import pytest

from bitat_deploy.errors import InputError
from bitat_deploy.target import load_target
from bitat_deploy.tuning.task import expected_answers, network_layers, tuning_tasks
from tests.foreign.test_end_to_end import BREVITAS


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
    with pytest.raises(InputError, match="has no runtime for others"):
        network_layers(BREVITAS, load_target("rpi-32bit"))
