"""Binary 1x1 convolutions by given schedules, as ARM code in the emulator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bitat_deploy.network import pack_bits
from bitat_deploy.operators import PointwiseSchedule
from bitat_deploy.target import load_target
from tests.operators.drawn_layers import pointwise
from tests.operators.execution import check

Case = tuple[int, int, int, PointwiseSchedule]  # pixels, channels, out channels


def check_on_arm(cases: Sequence[Case], name: str, folder: Path) -> None:
    """Compare all with their references: among the channels some of which every bit differs."""
    target = load_target(name)
    random = np.random.default_rng(0)
    operators, inputs = [], []
    for pixels, channels, out, schedule in cases:
        layer = pointwise(random, 1, pixels, channels, out, reach=channels + 1)
        operators.append(layer.operator(target, schedule))
        x = random.integers(0, 2, (1, 1, pixels, channels), dtype=np.uint8)
        x[..., :2, :] = np.array([0, 1])[: min(pixels, 2), None]
        inputs.append((pack_bits(x),))
    check(operators, target, folder, inputs)
