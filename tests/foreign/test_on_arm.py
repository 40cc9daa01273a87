"""Imported networks as ARM code, in qemu-user: what is ours is exact, the rest within rounding."""

from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.onnx_format import reference_logits
from bitat_deploy.operators.float_boundary import FloatQuantize
from bitat_deploy.target import load_target
from tests.foreign.test_end_to_end import BREVITAS
from tests.operators.execution import run_here, run_in_qemu
from tests.test_bit_for_bit import QEMU, run


def drawn_quantizers(target_name: str) -> list[FloatQuantize]:
    """One to four bits, both signs, copies of channels, rows that are no whole vectors."""
    random = np.random.default_rng(0)
    operators = []
    for bits, channels, read, height, width in [
        (1, 16, 16, 4, 4),
        (1, 3, 3, 1, 1),
        (2, 40, 20, 5, 7),
        (3, 9, 12, 3, 6),
        (4, 17, 17, 2, 9),
    ]:
        thresholds = np.sort(random.normal(0, 1, (2**bits - 1, channels)), axis=0)
        thresholds[:, 0] = np.inf
        thresholds[0, 1] = -np.inf
        operators.append(
            FloatQuantize(
                input_shape=(read, height, width),
                channel=random.integers(0, read, channels, dtype=np.int32),
                sign=random.choice(np.float32([-1, 1]), channels),
                thresholds=thresholds.astype(np.float32),
                target=load_target(target_name),
            )
        )
    return operators


@pytest.mark.parametrize("target_name", ["host", "rpi4"])
def test_quantization_of_float32_equals_numpy(target_name: str, tmp_path: Path) -> None:
    operators = drawn_quantizers(target_name)
    random = np.random.default_rng(1)
    inputs = []
    for operator in operators:
        x = random.normal(0, 1, (1, *operator.input_shape)).astype(np.float32)
        x[0, operator.channel[-1], 0, 0] = operator.sign[-1] * operator.thresholds[0, -1]  # a tie
        inputs.append((x,))
    target = load_target(target_name)
    if target_name == "host":
        outputs = run_here(operators, inputs, target)
    else:
        outputs = run_in_qemu(operators, inputs, target, tmp_path)
    for operator, (x,), y in zip(operators, inputs, outputs, strict=True):
        assert np.array_equal(y, operator.reference(x))


def test_a_mixed_network_gives_the_same_predictions(tmp_path: Path) -> None:
    """Layers of 1 to 4 bits, and float32 ones by TVM."""
    bundle = build_bundle(BREVITAS, load_target("rpi4"), tmp_path / "bundle")
    with np.load(BREVITAS.with_suffix(".npz")) as answers:
        pictures, expected = answers["pictures"][:20], answers["logits"][:20]
    logits = run(bundle, QEMU, pictures, tmp_path)
    reference = reference_logits(bundle.directory / "model.onnx", pictures)
    assert np.abs(logits - reference).max() <= 1e-5 * np.abs(reference).max()
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()
