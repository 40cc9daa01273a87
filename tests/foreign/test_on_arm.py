"""Imported networks as ARM code, in qemu-user: what is ours is exact, the rest within rounding."""

from pathlib import Path

import numpy as np

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.target import load_target
from tests.foreign.test_end_to_end import BREVITAS
from tests.test_bit_for_bit import QEMU, run


def test_a_mixed_network_gives_the_same_predictions(tmp_path: Path) -> None:
    """Layers of 1 to 4 bits, and float32 ones by TVM."""
    bundle = build_bundle(BREVITAS, load_target("rpi4"), tmp_path / "bundle")
    with np.load(BREVITAS.with_suffix(".npz")) as answers:
        pictures, expected = answers["pictures"][:20], answers["logits"][:20]
    logits = run(bundle, QEMU, pictures, tmp_path)
    reference = reference_logits(bundle.directory / "model.onnx", pictures)
    assert np.abs(logits - reference).max() <= 1e-5 * np.abs(reference).max()
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()
