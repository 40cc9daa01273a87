"""What to tune in a network: its distinct layers that have several schedules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitat_deploy.bounded_process import DEFAULT_LIMITS, Limits, run_bounded
from bitat_deploy.compiler import LoweredLayer, lower_layers
from bitat_deploy.foreign import load_network
from bitat_deploy.network import NOTHING, IntegerNetwork, Supplement
from bitat_deploy.onnx_format import is_ours
from bitat_deploy.operators import Operator, TensorSpec
from bitat_deploy.target import Target

Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True, eq=False)
class Task:
    """A workload: an operator that has it, and the names of the layers that have it."""

    operator: Operator
    layers: tuple[str, ...]

    @property
    def workload(self) -> str:
        """The records' key."""
        return self.operator.workload


@dataclass(frozen=True, eq=False)
class Check:
    """Inputs for a task's operator, and the output that its reference computes from them."""

    inputs: Arrays
    expected: NDArray[Any]


def network_layers(
    model: Path,
    target: Target,
    supplement: Supplement = NOTHING,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[LoweredLayer, ...]:
    """The network's integer layers with their default schedules. Raises as ``load_network``.

    One that was not exported by bitat-deploy is read in another process, within ``limits``.
    """
    arguments = (model, supplement, target)
    if is_ours(model):
        network = load_network(*arguments)
    else:
        network = run_bounded(f"reading '{model}'", limits, load_network, *arguments)
    if isinstance(network, IntegerNetwork):
        return lower_layers(network, target)
    # Not above: TVM's importer of ONNX takes a second to load.
    from bitat_deploy.compiler import integer_layers

    return integer_layers(network, target)


def tuning_tasks(layers: Sequence[LoweredLayer]) -> list[Task]:
    """One task for each workload whose space is not empty, in the network's order."""
    found: dict[str, list[LoweredLayer]] = {}
    for layer in layers:
        if layer.operator.space():
            found.setdefault(layer.operator.workload, []).append(layer)
    return [
        Task(same[0].operator, tuple(layer.report.name for layer in same))
        for same in found.values()
    ]


def expected_answers(
    layers: Sequence[LoweredLayer],
    workloads: set[str],
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Check]:
    """Inputs and answers for each of ``workloads``: those of a random image in the network.

    Tensors that no earlier layer writes are drawn too, as in a network from elsewhere. Computed by
    the operators' numpy references, from the first layer to the last that is needed.
    """
    needed = [i for i, layer in enumerate(layers) if layer.operator.workload in workloads]
    random = np.random.default_rng(seed)
    values: dict[str, NDArray[Any]] = {}
    checks: dict[str, Check] = {}
    last = max(needed, default=-1) + 1
    for done, layer in enumerate(layers[:last]):
        progress(done, last)
        operator = layer.operator
        for name, tensor in zip(layer.inputs, operator.inputs, strict=True):
            if name not in values:
                values[name] = _drawn(random, tensor)
        inputs = tuple(values[name] for name in layer.inputs)
        output = operator.output
        answer = operator.reference(*inputs).astype(output.dtype).reshape(output.shape)
        values[layer.report.name] = answer
        if operator.workload in workloads:
            checks.setdefault(operator.workload, Check(inputs, answer))
    return checks


def _drawn(random: np.random.Generator, tensor: TensorSpec) -> NDArray[Any]:
    """Bytes of an image or of an 8-bit tensor, or real numbers."""
    if tensor.dtype == "float32":
        return random.normal(0, 1, tensor.shape).astype(np.float32)
    return random.integers(0, 256, tensor.shape).astype(tensor.dtype)
