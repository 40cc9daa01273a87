"""bench, run and the device library from C, C++ and Python on photos (scripts/compare-answers)."""

from pathlib import Path

import numpy as np
import onnx

from benchmarks.one_answer import SIZES, draw_photos, logits_of_all_ways
from bitat_deploy.bundle import build_bundle
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.target import load_target
from tests.drawn_networks import draw_network


def test_all_ways_give_the_same_logits(tmp_path: Path) -> None:
    network = draw_network(5, (24, 32, 3), (16, 2), ((32, 2),), classes=4)
    onnx.save(to_onnx(network), tmp_path / "model.onnx")
    bundle = build_bundle(tmp_path / "model.onnx", load_target("host"), tmp_path / "bundle")
    photos = draw_photos(2 * len(SIZES), 4, tmp_path / "photos")
    found = dict(logits_of_all_ways(bundle, tmp_path / "photos", tmp_path / "programs", ""))
    assert set(found) == {"ONNX Runtime", "bench", "run", "C", "C++", "Python"}
    expected = found.pop("ONNX Runtime")
    assert len(np.unique(expected, axis=0)) == len(photos)
    for way, logits in found.items():
        assert np.array_equal(logits, expected), way
