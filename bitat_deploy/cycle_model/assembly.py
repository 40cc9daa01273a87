"""AArch64 assembly, as a compiler prints it: basic blocks, instructions and their operands."""

import re
from dataclasses import dataclass, field

_LABEL = re.compile(r"^(\.LBB[\w.]+):")
_BRANCHES = ("b", "cbz", "cbnz", "tbz", "tbnz", "ret")
GENERAL_REGISTER = re.compile(r"\b[xw](?:\d+|sp)\b|\bsp\b")


@dataclass
class Block:
    """Instructions with one entry and one exit, as text; and how often they ran."""

    label: str
    instructions: list[str] = field(default_factory=list)
    runs: int = 0


def function_blocks(assembly: str, function: str) -> list[Block]:
    """The basic blocks of ``function``, in the order of the text."""
    blocks = [Block(function)]
    inside = False
    for line in assembly.splitlines():
        if line.startswith(f"{function}:"):
            inside = True
        elif line.startswith(".Lfunc_end") and inside:
            break
        elif not inside:
            continue
        elif match := _LABEL.match(line):
            blocks.append(Block(match[1]))
        else:
            text = line.split("//")[0].strip().replace("\t", " ")
            if not text or text.startswith(".") or text.endswith(":"):
                continue
            if blocks[-1].instructions and is_branch(blocks[-1].instructions[-1]):
                blocks.append(Block(f"{blocks[-1].label}+"))
            blocks[-1].instructions.append(text)
    return [block for block in blocks if block.instructions]


def operands_of(text: str) -> list[str]:
    """Split at commas outside of braces and brackets."""
    return [part.strip() for part in re.findall(r"(?:\[[^\]]*\]!?|\{[^}]*\}|[^,])+", text)]


def is_branch(text: str) -> bool:
    """Whether an instruction ends a block."""
    name = text.split(" ", 1)[0]
    return name in _BRANCHES or name.startswith("b.")


def is_general(operand: str) -> bool:
    """Whether an operand is a general register."""
    return bool(re.fullmatch(r"[xw](\d+|zr)|w?sp|lr", operand))


def register_number(register: str) -> str:
    """What ``x3`` and ``w3`` share; "sp" of the stack pointer."""
    return "sp" if register.endswith("sp") else "30" if register == "lr" else register[1:]


def register_width(register: str) -> str:
    """ "x" for 64 bits, "w" for 32."""
    return "w" if register[0] == "w" else "x"


def constant(text: str) -> int | None:
    """The value of ``#3`` or ``0x3``; None where it is no number."""
    match = re.fullmatch(r"#?(-?(?:0x[0-9a-f]+|\d+))", text)
    return int(match[1], 0) if match else None
