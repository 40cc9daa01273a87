"""A static model of a kernel's time: its basic blocks costed, and weighted by how often they run.

No processor is needed, and no emulator. A block is costed by llvm-mca or by a pipeline of ours
(:mod:`.block_models`). Left out are caches and
memory, mispredicted branches, and what blocks share when one overlaps the next. A block's cycles
are those of its steady state, the block repeated without end. So it ranks schedules by their
instructions and their order; it does not predict milliseconds.
"""

from dataclasses import dataclass, replace

import tvm

from bitat_deploy.compiler import tvm_target
from bitat_deploy.cycle_model.assembly import Block, function_blocks
from bitat_deploy.cycle_model.block_models import BlockModel, block_model
from bitat_deploy.cycle_model.scalar_arithmetic import UnknownFlowError
from bitat_deploy.cycle_model.scalar_execution import count_runs
from bitat_deploy.errors import BuildError
from bitat_deploy.operators import Operator
from bitat_deploy.target import Target

_BYTES_PER_CYCLE = 8.0  # of memset and memcpy, which are not in the assembly


@dataclass(frozen=True)
class BlockCost:
    """A basic block: how often it runs in one call, cycles of one run, its instructions.

    ``loops`` says whether it is an innermost loop: it branches back to itself.
    """

    label: str
    runs: int
    cycles: float
    instructions: int
    loops: bool

    @property
    def total(self) -> float:
        """Cycles of all its runs."""
        return self.runs * self.cycles


@dataclass(frozen=True)
class KernelCost:
    """One call of an operator on one core."""

    blocks: tuple[BlockCost, ...]
    call_cycles: float

    @property
    def cycles(self) -> float:
        """Cycles of one call."""
        return sum(block.total for block in self.blocks) + self.call_cycles

    @property
    def instructions(self) -> int:
        """Instructions of one call."""
        return sum(block.runs * block.instructions for block in self.blocks)

    @property
    def hottest(self) -> BlockCost:
        """The block that takes most of the time."""
        return max(self.blocks, key=lambda block: block.total)


def modelled_cycles(operator: Operator, target: Target) -> float:
    """Cycles of one call on one core, by the model.

    Raises InputError where there is no model of the target's processor or no llvm-mca, BuildError
    where the code cannot be followed.
    """
    return kernel_cost(operator, target).cycles


def kernel_cost(operator: Operator, target: Target, model: BlockModel | None = None) -> KernelCost:
    """Compile ``operator`` for one core and cost every basic block; errors as above.

    ``model`` is used in place of the one of the target's processor.
    """
    model = model or block_model(target)
    operator = replace(operator, target=replace(target, cores=1))
    blocks = _compiled_blocks(operator)
    arguments = len(operator.inputs) + len(operator.constants()) + 1
    try:
        calls = count_runs(blocks, arguments)
    except UnknownFlowError as error:
        raise BuildError(
            f"the code of '{operator.workload}' cannot be followed by the cycle model: {error}"
        ) from error
    executed = [block for block in blocks if block.runs]
    instructions = [block.instructions for block in executed]
    cycles = model(instructions)
    return KernelCost(
        blocks=tuple(
            BlockCost(
                block.label,
                block.runs,
                cost,
                len(block.instructions),
                block.instructions[-1].endswith(block.label),
            )
            for block, cost in zip(executed, cycles, strict=True)
        ),
        call_cycles=sum((call.size or 0) / _BYTES_PER_CYCLE for call in calls),
    )


def _compiled_blocks(operator: Operator) -> list[Block]:
    function = operator.prim_func().with_attr("global_symbol", "kernel")
    library = tvm.compile(tvm.IRModule({"kernel": function}), target=tvm_target(operator.target))
    return function_blocks(library.mod.inspect_source("asm"), "kernel_compute_")
