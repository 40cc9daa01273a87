"""Training in several processes, as torchrun starts them:

``torchrun --nproc-per-node 2 --no-python bitat-deploy train --recipe smoke``

Each process takes its part of every batch; gradients are averaged (DistributedDataParallel) and
batch normalisation takes the moments of the whole batch, so that the result is that of one process
up to the order of float sums. Processes on GPUs talk by NCCL, on CPUs by gloo.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
import torch.distributed.nn.functional as collective
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bitat_deploy.errors import InputError


@dataclass(frozen=True)
class Workers:
    """The processes that train together: ``count`` of them, of which this is ``rank``."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this process saves and reports."""
        return self.rank == 0

    def device(self) -> torch.device:
        """A GPU where there is one."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def part(self, batch_size: int) -> slice:
        """This process's part of a batch. Raises InputError where parts would be unequal."""
        if batch_size % self.count:
            raise InputError(
                f"data.batch_size {batch_size} cannot be divided by {self.count} processes"
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over the processes."""
        value = value.detach().clone()
        if self.count > 1:
            torch.distributed.all_reduce(value)
            value = value / self.count
        return float(value)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network, averaging its gradients over the processes."""
        if self.count == 1:
            return network
        return DistributedDataParallel(
            network, find_unused_parameters=True, broadcast_buffers=False
        )


@contextmanager
def joined_workers() -> Iterator[Workers]:
    """Meet the processes that torchrun started, by its environment variables; or work alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers()
        return
    workers = Workers(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield workers
    finally:
        torch.distributed.destroy_process_group()


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes (torch's own needs GPUs)."""

    def forward(self, values: Tensor) -> Tensor:
        """[N, C, H, W], N the same in each process, to the same shape."""
        if not self.training:
            return super().forward(values)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        mean = _averaged(values.mean(dim=(0, 2, 3)))
        centred = values - mean.reshape(1, -1, 1, 1)
        variance = _averaged(centred.square().mean(dim=(0, 2, 3)))
        with torch.no_grad():
            count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
            self.num_batches_tracked.add_(1)
            momentum = self.momentum
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)


def synchronize_normalization(network: nn.Module) -> None:
    """Replace each batch normalisation by one over all processes, with the same parameters."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.BatchNorm2d:
                shared = SynchronizedBatchNorm2d(child.num_features, child.eps, child.momentum)
                shared.weight, shared.bias = child.weight, child.bias
                shared.running_mean = child.running_mean
                shared.running_var = child.running_var
                shared.num_batches_tracked = child.num_batches_tracked
                setattr(module, name, shared)


def _averaged(values: Tensor) -> Tensor:
    total: Tensor = collective.all_reduce(values)
    return total / torch.distributed.get_world_size()
