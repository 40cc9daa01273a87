"""Binary 1x1 convolutions by given schedules, as ARM code in the emulator."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.network import pack_bits
from bitat_deploy.operators import BinaryPointwiseConv, PointwiseSchedule
from bitat_deploy.target import load_target
from tests.operators.execution import run_in_qemu

Case = tuple[int, int, int, PointwiseSchedule]  # pixels, channels, out channels


def check_on_arm(cases: Sequence[Case], name: str, folder: Path) -> None:
    """Compare all with their references: among the channels some of which every bit differs."""
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    target = load_target(name)
    random = np.random.default_rng(0)
    operators, inputs = [], []
    for pixels, channels, out, schedule in cases:
        weight = random.integers(0, 2, (out, channels), dtype=np.uint8)
        weight[: out // 3] = 1  # where no bit, or every bit, differs
        threshold = random.integers(-channels - 2, channels + 3, out).astype(np.int32)
        operators.append(BinaryPointwiseConv(1, pixels, weight, threshold, target, schedule))
        x = random.integers(0, 2, (1, 1, pixels, channels), dtype=np.uint8)
        x[..., :2, :] = np.array([0, 1])[: min(pixels, 2), None]
        inputs.append((pack_bits(x),))
    outputs = run_in_qemu(operators, inputs, target, folder)
    for operator, (x,), output in zip(operators, inputs, outputs, strict=True):
        assert np.array_equal(output, operator.reference(x)), operator.workload
