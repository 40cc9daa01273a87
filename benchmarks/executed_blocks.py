"""What a program executed, in basic blocks, from the dumps of scripts/executed-blocks; their cost.

One run of a program's inner part is what it executes with two such runs more than with one. Any
AArch64 program can be costed in this way, ours and others'.
"""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.cycle_model import BlockModel, find_llvm_mca
from bitat_deploy.errors import BuildError

_COVERAGE = 0.998  # of the instructions are costed; the others at the same cycles each
_NOT_MODELLED = (
    "bl ", "ret", "b ", "blr", "br ", "svc", "hint", "nop", "mrs", "msr", "dmb", "dsb", "isb",
    "bti", "paciasp", "autiasp", "dc ", "prfm", "udf", "brk", "yield",
)  # fmt: skip
_ATTRIBUTES = "+v8.2a,+dotprod,+fullfp16,+lse,+crc,+aes,+sha2,+sha3,+i8mm,+bf16,+rcpc"
_BRANCHES = (
    (0x7C000000, 0x14000000),  # b, bl
    (0xFF000010, 0x54000000),  # b.cond
    (0x7E000000, 0x34000000),  # cbz, cbnz
    (0x7E000000, 0x36000000),  # tbz, tbnz
    (0xFE000000, 0xD6000000),  # br, blr, ret
    (0xFF000000, 0xD4000000),  # svc
)


@dataclass(frozen=True)
class Executed:
    """A basic block: its address, its instructions as words, its runs and its cache misses."""

    address: int
    words: tuple[int, ...]
    runs: float
    misses: tuple[float, float] = (0.0, 0.0)

    @property
    def instructions(self) -> float:
        """All that its runs executed."""
        return self.runs * len(self.words)


@dataclass(frozen=True)
class Dump:
    """Of every instruction that was executed: its word and how often; and of blocks, misses."""

    words: Mapping[int, int]
    runs: Mapping[int, int]
    misses: Mapping[int, tuple[int, int]]

    @property
    def instructions(self) -> int:
        """All that were executed."""
        return sum(self.runs.values())


def read_dump(path: Path) -> Dump:
    """Read what the plugin wrote. Raises BuildError where it is no such file."""
    words: dict[int, int] = {}
    runs: dict[int, int] = defaultdict(int)
    misses: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    try:
        for line in path.read_text().splitlines():
            address_text, entered, first, second, code = line.split()
            address = int(address_text, 16)
            before = misses[address]
            misses[address] = (before[0] + int(first), before[1] + int(second))
            for index in range(0, len(code), 8):
                place = address + index // 2
                words[place] = int(code[index : index + 8], 16)
                runs[place] += int(entered)
    except (OSError, ValueError) as error:
        raise BuildError(f"'{path}' holds no executed blocks: {error}") from error
    return Dump(words, runs, misses)


def basic_blocks(fewer: Dump, more: Dump, runs: int) -> list[Executed]:
    """What one run executes: ``more`` has so many runs more than ``fewer``.

    Instructions at following addresses that ran equally often, up to a branch, are one block: the
    emulator cuts long blocks, and enters some in the middle.
    """
    counts = {
        address: (count - fewer.runs.get(address, 0)) / runs
        for address, count in more.runs.items()
        if more.words[address] == fewer.words.get(address, more.words[address])
    }
    found: list[list[int]] = []
    previous = -1
    for address in sorted(address for address, count in counts.items() if count > 0):
        follows = address == previous + 4 and counts[address] == counts[previous]
        if not follows or _is_branch(more.words[previous]):
            found.append([])
        found[-1].append(address)
        previous = address
    return [
        Executed(
            places[0],
            tuple(more.words[place] for place in places),
            counts[places[0]],
            _missed(places, fewer, more, runs),
        )
        for places in found
    ]


def cost_of(blocks: Sequence[Executed], costs: BlockModel) -> float:
    """Cycles of all blocks, of which the hottest are costed one by one."""
    total = sum(block.instructions for block in blocks)
    chosen: list[Executed] = []
    seen = 0.0
    for block in sorted(blocks, key=lambda block: -block.instructions):
        chosen.append(block)
        seen += block.instructions
        if seen >= _COVERAGE * total:
            break
    texts = disassemble(word for block in chosen for word in block.words)
    bodies = [
        [texts[word] for word in block.words if not texts[word].startswith(_NOT_MODELLED)]
        for block in chosen
    ]
    kept = [index for index, body in enumerate(bodies) if body]
    different = list(dict.fromkeys(tuple(bodies[index]) for index in kept))
    known = dict(zip(different, costs(different), strict=True))
    cycles = [known[tuple(body)] if body else 1.0 for body in bodies]
    summed = sum(block.runs * each for block, each in zip(chosen, cycles, strict=True))
    return summed * total / seen


def disassemble(words: Iterable[int]) -> dict[int, str]:
    """Every instruction word as text; "udf" for what LLVM does not know."""
    wanted = list(dict.fromkeys(words))
    source = "\n".join(
        " ".join(f"0x{byte:02x}" for byte in w.to_bytes(4, "little")) for w in wanted
    )
    tool = find_llvm_mca().replace("llvm-mca", "llvm-mc")
    command = [tool, "--disassemble", "--show-encoding", "-triple=aarch64-linux-gnu"]
    result = subprocess.run(
        [*command, f"-mattr={_ATTRIBUTES}"], input=source, capture_output=True, text=True
    )
    texts = dict.fromkeys(wanted, "udf #0")
    for text, encoding in re.findall(
        r"^\s*([a-z][^/\n]*?)\s*// encoding: \[([^\]]*)\]", result.stdout, re.MULTILINE
    ):
        word = int.from_bytes(bytes(int(part, 16) for part in encoding.split(",")), "little")
        if word in texts:
            texts[word] = " ".join(text.split())
    return texts


def _missed(places: list[int], fewer: Dump, more: Dump, runs: int) -> tuple[float, float]:
    """Of both levels; the emulator's blocks that begin in this one, begun elsewhere or not."""
    none = (0, 0)
    starts = [place for place in places if place in more.misses]
    first, second = (
        sum(more.misses[place][level] - fewer.misses.get(place, none)[level] for place in starts)
        for level in (0, 1)
    )
    return first / runs, second / runs


def _is_branch(word: int) -> bool:
    return any(word & mask == value for mask, value in _BRANCHES)
