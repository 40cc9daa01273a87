"""What an AArch64 instruction reads and writes, and which units it takes, by LLVM's tables."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bitat_deploy.cycle_model.assembly import is_branch, operands_of
from bitat_deploy.cycle_model.llvm_mca import find_llvm_mca
from bitat_deploy.errors import BuildError

_REGISTER = re.compile(r"\b([xwvqdshb])(\d+)\b|\b(w?sp)\b")
_COMPARISONS = ("cmp", "cmn", "tst", "ccmp", "ccmn", "fcmp", "fcmpe")
_READS_FLAGS = (
    *("csel", "cset", "csetm", "csinc", "csinv", "csneg", "cinc", "cinv", "cneg", "fcsel"),
    *("adc", "adcs", "sbc", "sbcs", "ccmp", "ccmn"),
)
_SETS_FLAGS = ("subs", "adds", "ands", "bics", "adcs", "sbcs", "negs")
# These read the register that they write; the first group adds to it in the last stage.
_ACCUMULATES = re.compile(
    r"(f?ml[as]l?2?|[su]ml[as]l2?|sqdml[as]l2?|[su]adalp|[su]abal?2?|[su]sra|[su]dot|usdot|ummla|smmla)$"
)
_MERGES = ("bit", "bif", "bsl", "ins", "sli", "sri", "tbx", "movk", "bfi", "bfxil", "bfm")
_ITERATIONS = 100
_NOTHING = "nop"


@dataclass(frozen=True)
class Instruction:
    """One instruction, its registers named "x3", "v7" and "flags".

    ``reads`` are needed to start, ``accumulator`` is added to in the last stage, ``base`` is a
    register that an address is stepped in, and which is ready a cycle later. ``latency`` of its
    result is in cycles. ``uses`` are micro-operations: the units that can take it, and the cycles
    that it keeps one of them. ``wide`` says that it works on vectors of 128 bits.
    """

    text: str
    name: str
    reads: frozenset[str]
    writes: frozenset[str]
    accumulator: str
    base: str
    latency: int
    uses: tuple[tuple[frozenset[str], int], ...]
    loads: bool
    stores: bool
    wide: bool

    @property
    def floats(self) -> bool:
        """Whether it computes in floating point."""
        return self.name[0] == "f"

    @property
    def is_vector(self) -> bool:
        """Whether it computes with vectors or floating-point numbers."""
        registers = self.writes or self.reads
        return not self.loads and not self.stores and any(one[0] == "v" for one in registers)


@dataclass(frozen=True)
class _Costs:
    latency: int
    uses: tuple[tuple[frozenset[str], int], ...]
    loads: bool
    stores: bool


class InstructionTable:
    """Instructions of one processor; costs are asked of llvm-mca once for each kind."""

    def __init__(self, processor: str, features: Sequence[str]) -> None:
        self._command = [find_llvm_mca(), "-mtriple=aarch64-linux-gnu", f"-mcpu={processor}"]
        self._command += ["-json", f"-iterations={_ITERATIONS}", f"-mattr={','.join(features)}"]
        self._processor = processor
        self._costs: dict[str, _Costs] = {}

    def read(self, blocks: Sequence[Sequence[str]]) -> list[list[Instruction]]:
        """Every block's instructions. Raises BuildError where LLVM cannot read one."""
        self._ask(text for block in blocks for text in block)
        return [[self._instruction(text) for text in block] for block in blocks]

    def _instruction(self, text: str) -> Instruction:
        costs = self._costs[_kind_of(text)]
        name, _, rest = text.partition(" ")
        operands = operands_of(rest)
        place = next((i for i, one in enumerate(operands) if one.startswith("[")), len(operands))
        memory = ", ".join(operands[place:])
        stepped = bool(memory) and ("]!" in memory or "], " in memory)
        address = _registers(memory)
        flags = {"flags"}
        reads, writes, accumulator = set(), set(), ""
        if is_branch(text):
            reads = set(_registers(rest)) | (flags if name.startswith("b.") else set())
        elif name in _COMPARISONS:
            reads, writes = set(_registers(rest)), flags
        elif costs.stores:
            reads = set(_registers(rest))
        elif costs.loads:
            reads, writes = set(address), set(_registers(", ".join(operands[:place])))
            if name.startswith("ld1") and "]" in operands[0]:  # one lane
                reads |= writes
        else:
            written, *others = operands or [""]
            reads, writes = set(_registers(", ".join(others))), set(_registers(written))
            if _ACCUMULATES.match(name):
                accumulator = next(iter(writes), "")
            elif name in _MERGES or "[" in written or (name.endswith("2") and name[-2:] == "n2"):
                reads |= writes
        reads |= flags if name in _READS_FLAGS else set()
        writes |= flags if name in _SETS_FLAGS else set()
        return Instruction(
            text,
            name,
            frozenset(reads),
            frozenset(writes),
            accumulator,
            address[0] if stepped and address else "",
            costs.latency,
            costs.uses,
            costs.loads,
            costs.stores,
            bool(re.search(r"\bq\d|\.(16b|8h|4s|2d)\b", rest)),
        )

    def _ask(self, texts: Iterable[str]) -> None:
        """Cost all kinds that are not known yet, each in a region of its own."""
        kinds = [kind for kind in dict.fromkeys(map(_kind_of, texts)) if kind not in self._costs]
        if not kinds:
            return
        lines = [
            line
            for number, kind in enumerate(kinds)
            for line in (f"# LLVM-MCA-BEGIN {number}", kind, "# LLVM-MCA-END")
        ]
        source = "\n".join(lines) + "\n"
        result = subprocess.run(self._command, input=source, capture_output=True, text=True)
        if result.returncode:
            first = result.stderr.strip().splitlines()[:1]
            raise BuildError(f"llvm-mca failed for '{self._processor}': {''.join(first)}")
        document = json.loads(result.stdout[result.stdout.index("{") :])
        units = [name.split(".")[0] for name in document["TargetInfo"]["Resources"]]
        for kind, region in zip(kinds, document["CodeRegions"], strict=True):
            self._costs[kind] = _costs_of(region, units)


def _costs_of(region: dict[str, object], units: list[str]) -> _Costs:
    (facts,) = region["InstructionInfoView"]["InstructionList"]  # type: ignore[index]
    pressure = region["ResourcePressureView"]["ResourcePressureInfo"]  # type: ignore[index]
    used: dict[str, float] = {}
    for entry in pressure:
        if entry["InstructionIndex"] == 0:
            name = units[entry["ResourceIndex"]]
            used[name] = used.get(name, 0.0) + entry["ResourceUsage"]
    return _Costs(facts["Latency"], _uses(used), facts["mayLoad"], facts["mayStore"])


# Units that share micro-operations: those of the A57's model, by which LLVM costs the A72.
_SHARED = (frozenset({"A57UnitW", "A57UnitX"}),)


def _uses(used: dict[str, float]) -> tuple[tuple[frozenset[str], int], ...]:
    """Micro-operations from the cycles that each unit was kept on average."""
    result: list[tuple[frozenset[str], int]] = []
    rest = {name: cycles for name, cycles in used.items() if cycles > 0.02}
    for group in _SHARED:
        if group <= set(rest):
            result += [(group, 1)] * round(sum(rest.pop(name) for name in group))
    return (*result, *((frozenset({name}), max(1, round(c))) for name, c in sorted(rest.items())))


def _kind_of(text: str) -> str:
    """The instruction with its registers numbered in order: what its cost depends on."""
    if is_branch(text):
        name = text.split(" ", 1)[0]
        return {"ret": "ret", "b": "b #16"}.get(name, "b.ne #16" if "." in name else "cbz x0, #16")
    if text.startswith(("tbl", "tbx")):
        return text  # its list has to keep registers that follow each other
    counter = iter(range(64))
    known: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        if match[3]:
            return match[0]
        letter, key = match[1], f"{'v' if match[1] in 'vqdshb' else 'x'}{match[2]}"
        known.setdefault(key, str(next(counter) % 29))
        return letter + known[key]

    return _REGISTER.sub(number, text)


def _registers(text: str) -> list[str]:
    found = []
    for match in _REGISTER.finditer(text):
        if match[3]:
            found.append("sp")
        else:
            found.append(("v" if match[1] in "vqdshb" else "x") + match[2])
    return found
