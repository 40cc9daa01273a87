"""A network whose layers leave a choice."""

from pathlib import Path

import onnx
import pytest

from bitat_deploy.onnx_format import to_onnx
from tests.drawn_networks import draw_network


@pytest.fixture(scope="session")
def tunable_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of 2-bit codes and weights."""
    path = tmp_path_factory.mktemp("tunable") / "model.onnx"
    onnx.save(to_onnx(draw_network(1, (12, 12, 1), (16, 2), ((32, 1),), bits=(2, 2))), path)
    return path
