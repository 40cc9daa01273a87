"""Pipelines: units, latencies and queues limit a block as they should."""

import shutil

import pytest

from bitat_deploy.cycle_model.instruction import InstructionTable
from bitat_deploy.cycle_model.llvm_mca import block_cycles
from bitat_deploy.cycle_model.pipeline import InOrder, OutOfOrder

pytestmark = pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")

INDEPENDENT = [f"eor v{index}.16b, v16.16b, v17.16b" for index in range(8)]
COUNT = ["eor v4.16b, v0.16b, v1.16b", "cnt v4.16b, v4.16b", "add v5.16b, v5.16b, v4.16b"]
SUMS = ["fmla v8.4s, v1.4s, v2.4s"]
# Of different units: no more may enter in a cycle than the core is wide.
MIXED = ["add x1, x2, #1", *INDEPENDENT[:2], "ldr q9, [x5]"]
# A long chain first, then work that does not wait for it.
CHAIN_FIRST = ["fadd v0.4s, v0.4s, v1.4s"] * 6 + [
    f"eor v{index}.16b, v{index}.16b, v17.16b" for index in range(2, 14)
] * 3


def _a72(block: list[str], core: OutOfOrder) -> float:
    (read,) = InstructionTable("cortex-a72", ()).read([block])
    return core.cycles(read)


def _a53(block: list[str]) -> float:
    (read,) = InstructionTable("cortex-a53", ()).read([block])
    return InOrder().cycles(read)


@pytest.mark.parametrize(
    "block",
    [INDEPENDENT, COUNT, SUMS, MIXED],
    ids=["independent", "count", "sums", "mixed"],
)
def test_long_queues_agree_with_llvm_mca(block: list[str]) -> None:
    (expected,) = block_cycles([block], "cortex-a72", ())
    assert _a72(block, OutOfOrder(queue=128)) == pytest.approx(expected, abs=0.3)


def test_short_queues_keep_others_out() -> None:
    long, short = (_a72(CHAIN_FIRST, OutOfOrder(queue=queue)) for queue in (64, 2))
    assert short > 1.2 * long


def test_in_order() -> None:
    assert _a53(INDEPENDENT) == 8  # one operation on 128 bits in a cycle
    assert _a53([line.replace("16b", "8b") for line in INDEPENDENT]) == 4  # two on 64 bits
    assert _a53(SUMS) == 4  # the sum is needed late
    assert _a53(["add x1, x1, #1"]) == 1
    assert _a53(["ldr x1, [x1]"]) == 3
    # A result that comes earlier does not wait for one that comes later.
    assert _a53(["fmla v8.4s, v1.4s, v2.4s", "add x1, x2, #1"] * 4) == 16


def test_what_is_read_and_written() -> None:
    lines = ["ldp q1, q2, [x0], #32", "subs x3, x3, #1", "b.ne #-8", "bit v1.16b, v2.16b, v3.16b"]
    lines += ["smlal2 v4.8h, v5.16b, v6.16b", "st1 { v1.16b }, [x2]", "mov v1.d[1], x3"]
    load, count, branch, merge, multiply, store, insert = InstructionTable("cortex-a72", ()).read(
        [lines]
    )[0]
    assert (load.writes, load.base, load.reads) == ({"v1", "v2"}, "x0", {"x0"})
    assert count.writes == {"x3", "flags"} and branch.reads == {"flags"}
    assert merge.reads == {"v1", "v2", "v3"}
    assert multiply.accumulator == "v4" and multiply.reads == {"v5", "v6"}
    assert store.reads == {"v1", "x2"} and not store.writes
    assert insert.reads == {"v1", "x3"}
