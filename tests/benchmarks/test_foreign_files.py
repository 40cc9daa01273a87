"""The files that bench-models takes from elsewhere."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.foreign_files import FOREIGN_FILES, write_int8_mobilenet_v2
from bitat_deploy.foreign import import_foreign
from bitat_deploy.foreign.check import logits_of
from bitat_deploy.network import AddBytes, AverageBytes, Convolution, Preprocessing, Rescale

FLOAT_FILES = [name for name in FOREIGN_FILES if "int8" not in name]


@pytest.mark.parametrize("name", FLOAT_FILES)
def test_answers_of_float_files_differ_between_pictures(name: str, tmp_path: Path) -> None:
    height, width, channels = FOREIGN_FILES[name](tmp_path / "file.onnx", 0)
    session = onnxruntime.InferenceSession(tmp_path / "file.onnx")
    pictures = np.random.default_rng(0).random((2, 1, channels, height, width), np.float32)
    first, second = (session.run(None, {"image": picture})[0] for picture in pictures)
    assert np.isfinite(first).all() and first.std() > 0.01
    assert not np.allclose(first, second, rtol=1e-3)


def test_all_of_an_int8_mobilenet_is_ours_and_exact(tmp_path: Path) -> None:
    """52 convolutions and the classifier, ten shortcuts, the average: the depth of a real file."""
    path = tmp_path / "int8.onnx"
    write_int8_mobilenet_v2(path, size=32)
    network = import_foreign(path, Preprocessing())
    kinds = [type(layer) for layer in network.layers.values()]
    counts = {kind: kinds.count(kind) for kind in (Convolution, AddBytes, AverageBytes)}
    assert counts == {Convolution: 53, AddBytes: 10, AverageBytes: 1}
    layers = [layer for layer in network.layers.values() if isinstance(layer, Convolution)]
    assert all(isinstance(layer.output, Rescale) for layer in layers)
    assert {n.op_type for n in network.graph.nodes if not n.domain} == {
        "Reshape",
        "DequantizeLinear",
    }
    images = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path)
    inputs = (images / np.float32(255)).transpose(0, 3, 1, 2).astype(np.float32)
    wanted = np.concatenate([session.run(None, {"image": one[None]})[0] for one in inputs])
    assert (logits_of(network.graph, images) == wanted).all()
