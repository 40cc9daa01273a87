"""The random networks have the shapes in the papers and pass through every stage."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders import onnx_runtime_contenders, our_contender
from benchmarks.random_networks import RANDOM_NETWORKS
from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.target import load_target


# Millions of multiply-accumulates, without pooling: arXiv 1704.04861, table 4; 1801.04381, table 4.
@pytest.mark.parametrize(
    ("name", "convolutions", "mmacs"), [("mobilenet-v1", 27, 569), ("mobilenet-v2", 52, 300)]
)
def test_shapes_are_the_papers(name: str, convolutions: int, mmacs: int) -> None:
    network = RANDOM_NETWORKS[name]()
    layers = [layer.report for layer in lower_layers(network, load_target("host"))]
    assert len(layers) == convolutions + 2  # pooling and classifier
    assert sum(layer.macs for layer in layers) / 1e6 == pytest.approx(mmacs, rel=0.01)


def test_contenders_run_and_ours_equals_its_onnx_file(tmp_path: Path) -> None:
    network = RANDOM_NETWORKS["mobilenet-v1"](size=32, classes=7)
    target = load_target("host")
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    ours, model = our_contender(network, target, images, tmp_path)
    rivals = onnx_runtime_contenders(network, target, images, tmp_path)
    assert [rival.arithmetic for rival in rivals] == ["float32", "int8"]
    for contender in (ours, *rivals):
        document = contender.run(threads=1, warmup=0, runs=1, seconds=0)
        assert (document["images"], document["classes"]) == (3, 7)
        assert len(document["durations_ns"]) >= 1
    logits = np.fromfile(ours.logits, np.float32).reshape(3, 7)
    assert np.array_equal(logits, reference_logits(model, images))
    assert len(np.unique(logits)) > 7  # drawn so that answers depend on the image
