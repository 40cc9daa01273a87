"""LiteRT's twins are the same networks as ONNX Runtime's."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.contenders import litert_contenders
from bitat_deploy.baseline.float32 import float32_twin
from bitat_deploy.errors import UnsupportedOperatorError
from tests.drawn_networks import draw_images, draw_network, draw_shortcut_network

pytest.importorskip("ai_edge_litert")


def test_twins_give_the_float32_twins_logits(tmp_path: Path) -> None:
    # Odd sizes, at which LiteRT pads as the network does.
    network = draw_network(3, (13, 13, 3), (16, 1), ((24, 2), (40, 1)))
    images = draw_images(network, 20)
    session = onnxruntime.InferenceSession(float32_twin(network).SerializeToString())
    expected = np.concatenate(
        [session.run(None, {"image": image[None]})[0] for image in images.transpose(0, 3, 1, 2)]
    )
    float32, int8 = litert_contenders(network, images, tmp_path)
    answers = []
    for contender in (float32, int8):
        document = contender.run(threads=1, warmup=0, runs=2, seconds=0)
        assert (len(document["durations_ns"]), document["images"]) == (2, 20)
        answers.append(np.fromfile(contender.logits, np.float32).reshape(expected.shape))
    np.testing.assert_allclose(answers[0], expected, atol=1e-4)
    assert np.corrcoef(answers[1].ravel(), expected.ravel())[0, 1] > 0.95


def test_other_networks_are_refused(tmp_path: Path) -> None:
    network = draw_shortcut_network(1)
    with pytest.raises(UnsupportedOperatorError, match="no counterpart in LiteRT's twin"):
        litert_contenders(network, draw_images(network, 1), tmp_path)
