"""Sums over an epoch in progress."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from bitat_deploy.training.networks import BinaryLayer

_RECENT = 0.98  # weight of the past in the loss that is shown


@dataclass(eq=False)
class OpenEpoch:
    """Sums since the epoch began; ``signs`` are those of each layer's weights at that time."""

    signs: dict[str, Tensor]
    steps: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    fastest: float = field(default=float("inf"))
    recent_loss: float = 0.0

    def add(self, loss: float, seconds: float) -> None:
        """Count one step."""
        self.recent_loss = _RECENT * self.recent_loss + (1 - _RECENT) * loss if self.steps else loss
        self.steps += 1
        self.loss_sum += loss
        self.seconds += seconds
        self.fastest = min(self.fastest, seconds)

    def record(self, layers: Iterable[BinaryLayer], batch_size: int) -> dict[str, Any]:
        """Plain values for the report; ``sign_flips`` is a fraction for each layer's name."""
        now = signs_of(layers)
        flips = {
            name: float((now[name] != before).double().mean())
            for name, before in self.signs.items()
        }
        return {
            "steps": self.steps,
            "loss": self.loss_sum / self.steps,
            "sign_flips": flips,
            "step_seconds": self.seconds / self.steps,
            "fastest_step_seconds": self.fastest,
            "images_per_second": batch_size * self.steps / self.seconds,
        }

    def state(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return asdict(self)

    @classmethod
    def restored(cls, state: dict[str, Any] | None) -> "OpenEpoch | None":
        """The epoch that :meth:`state` was of, None for None."""
        return None if state is None else cls(**state)


def signs_of(layers: Iterable[BinaryLayer]) -> dict[str, Tensor]:
    """Which weights are not negative, bool of the weight's shape, by the layer's name."""
    return {layer.name: (layer.weight.detach() >= 0).cpu() for layer in layers}
