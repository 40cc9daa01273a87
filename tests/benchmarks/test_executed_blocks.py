"""Dumps of executed blocks become basic blocks, and those text and cycles."""

import shutil
from pathlib import Path

import pytest

from benchmarks.executed_blocks import basic_blocks, cost_of, disassemble, read_dump
from bitat_deploy.errors import BuildError

ADD, SUBS, BRANCH, RETURN = 0x91000421, 0xF1000463, 0x54FFFFC1, 0xD65F03C0
LOOP = "".join(f"{word:08x}" for word in (ADD, SUBS, BRANCH))

# The emulator cuts the loop in two at times, and enters it in the middle.
ONCE = f"1000 5 3 1 {LOOP}\n100c 1 0 0 {RETURN:08x}\n"
TWICE = (
    f"1000 7 5 1 {LOOP}\n1004 3 1 1 {LOOP[8:]}\n1000 3 0 0 {LOOP[:8]}\n100c 2 0 0 {RETURN:08x}\n"
)


def _dump(folder: Path, name: str, text: str):  # type: ignore[no-untyped-def]
    path = folder / name
    path.write_text(text)
    return read_dump(path)


def test_one_run_is_the_difference(tmp_path: Path) -> None:
    fewer, more = _dump(tmp_path, "once", ONCE), _dump(tmp_path, "twice", TWICE)
    assert (fewer.instructions, more.instructions) == (16, 32)
    loop, end = basic_blocks(fewer, more, 1)
    assert (loop.address, loop.words, loop.runs) == (0x1000, (ADD, SUBS, BRANCH), 5)
    assert loop.misses == (3, 1)
    assert (end.address, end.words, end.runs) == (0x100C, (RETURN,), 1)


@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_blocks_are_costed_by_their_text(tmp_path: Path) -> None:
    texts = disassemble([ADD, BRANCH, 0x00000000])
    assert texts == {ADD: "add x1, x1, #1", BRANCH: "b.ne #-8", 0: "udf #0"}
    blocks = basic_blocks(_dump(tmp_path, "once", ONCE), _dump(tmp_path, "twice", TWICE), 1)
    seen: list[tuple[str, ...]] = []

    def costs(bodies):  # type: ignore[no-untyped-def]
        seen.extend(tuple(body) for body in bodies)
        return [10.0] * len(bodies)

    assert cost_of(blocks, costs) == 5 * 10 + 1
    assert seen == [("add x1, x1, #1", "subs x3, x3, #1", "b.ne #-8")]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds no executed blocks"):
        _dump(tmp_path, "other", "this is no dump\n")
