"""Which model costs the blocks of a target's processor."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bitat_deploy.cycle_model.instruction import InstructionTable
from bitat_deploy.cycle_model.llvm_mca import block_cycles, find_llvm_mca
from bitat_deploy.cycle_model.pipeline import InOrder, OutOfOrder
from bitat_deploy.errors import InputError
from bitat_deploy.target import Target

# Cycles of each block of instructions, in its steady state.
BlockModel = Callable[[Sequence[Sequence[str]]], list[float]]

# Where a pipeline of ours comes closer to real boards than llvm-mca's (docs/performance.md).
_PIPELINES = {"cortex-a53": InOrder()}
_SHORT_QUEUES = {"cortex-a72": OutOfOrder()}


def block_model(target: Target) -> BlockModel:
    """The model of the target's processor. Raises InputError where there is none."""
    if target.architecture != "aarch64" or not target.model_cpu:
        raise InputError(
            f"there is no static cycle model for target '{target.name}'; it covers 64-bit ARM"
        )
    if pipeline := _PIPELINES.get(target.model_cpu):
        return _by_pipeline(pipeline, target)
    return lambda blocks: block_cycles(blocks, target.model_cpu, target.features)


def model_name(target: Target) -> str:
    """What a record says of the model: llvm-mca's release, the processor, and whose pipeline."""
    ours = ", in order" if target.model_cpu in _PIPELINES else ""
    return f"{Path(find_llvm_mca()).name}, {target.model_cpu}{ours}"


def short_queue_model(target: Target) -> BlockModel | None:
    """A second model, with short queues before the units; None where there is none."""
    pipeline = _SHORT_QUEUES.get(target.model_cpu)
    return _by_pipeline(pipeline, target) if pipeline else None


def _by_pipeline(pipeline: InOrder | OutOfOrder, target: Target) -> BlockModel:
    table = InstructionTable(target.model_cpu, target.features)
    return lambda blocks: [pipeline.cycles(block) if block else 0.0 for block in table.read(blocks)]
