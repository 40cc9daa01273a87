import pytest
import torch
from torch import nn

from bitat_deploy.training.divergence import check_parameters, first_overflow, raise_for_loss
from bitat_deploy.training.errors import TrainingDivergedError


def test_the_first_layer_that_overflows_is_named() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU())
    images = torch.ones(1, 2)
    assert first_overflow(network, images) is None
    with torch.no_grad():
        network[1].weight.fill_(3e38)
        network[0].weight.fill_(2)
    assert first_overflow(network, images) == "1"
    with pytest.raises(TrainingDivergedError, match=r"became inf, first in .*'1'"):
        raise_for_loss(float("inf"), network, "step 3", images)


def test_a_weight_that_is_not_finite_is_named() -> None:
    network = nn.Linear(2, 2)
    check_parameters(network, "step 1")
    with torch.no_grad():
        network.bias[1] = float("nan")
    with pytest.raises(TrainingDivergedError, match="step 1: 'bias' is no longer finite"):
        check_parameters(network, "step 1")
