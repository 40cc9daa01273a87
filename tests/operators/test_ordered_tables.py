"""1x1 convolutions by tables in instructions of our own, as ARM code."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.network import pack_bits
from bitat_deploy.operators import BinaryPointwiseConv, PointwiseSchedule
from bitat_deploy.operators.ordered_tables import WordSums
from bitat_deploy.target import load_target
from tests.operators.execution import run_in_qemu

# pixels, channels, out channels, words of a table. Rests of 1, 2 and 4 bytes are looked up, too.
CASES = [
    (3, 64, 128, 1),
    (5, 7, 128, 1),
    (2, 72, 256, 1),
    (2, 74, 130, 1),
    (3, 144, 128, 2),
    (2, 160, 128, 1),
    (2, 512, 128, 8),
    (1, 1024, 128, 4),
]


@pytest.mark.parametrize("name", ["rpi4", "rpi5"])  # without and with pairs of loads
def test_they_equal_the_reference(name: str, tmp_path: Path) -> None:
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    target = load_target(name)
    random = np.random.default_rng(1)
    operators, inputs = [], []
    for pixels, channels, out, words in CASES:
        weight = random.integers(0, 2, (out, channels), dtype=np.uint8)
        weight[: out // 3] = 1  # where no bit, or every bit, differs
        threshold = random.integers(-channels - 2, channels + 3, out).astype(np.int32)
        schedule = PointwiseSchedule(8, 16, 4, 4, 1, table_bytes=16, table_words=words)
        operators.append(BinaryPointwiseConv(1, pixels, weight, threshold, target, schedule))
        x = random.integers(0, 2, (1, 1, pixels, channels), dtype=np.uint8)
        x[..., :2, :] = np.array([0, 1])[: min(pixels, 2), None]
        inputs.append((pack_bits(x),))
    outputs = run_in_qemu(operators, inputs, target, tmp_path)
    for operator, (x,), output in zip(operators, inputs, outputs, strict=True):
        assert np.array_equal(output, operator.reference(x)), operator.workload


def test_registers_are_enough() -> None:
    assert WordSums.is_possible(load_target("rpi4"), 16, 8, 12)
    assert not WordSums.is_possible(load_target("rpi4"), 16, 8, 13)
    assert not WordSums.is_possible(load_target("rpi4"), 16, 3, 10)
    assert not WordSums.is_possible(load_target("rpi4"), 32, 8, 10)
    assert not WordSums.is_possible(load_target("rpi-32bit"), 16, 8, 10)
