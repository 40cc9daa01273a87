"""Small mistakes in Python code, one at a time, that tests should notice."""

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
_ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "//"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
}
_BOOLEAN = {ast.And: ("and", "or"), ast.Or: ("or", "and")}


@dataclass(frozen=True)
class Mutant:
    """Bytes ``start`` to ``end`` of a source, replaced by ``text``; they stand in ``line``."""

    line: int
    start: int
    end: int
    text: bytes

    def apply(self, source: bytes) -> bytes:
        """The source with the mistake in it."""
        return source[: self.start] + self.text + source[self.end :]


def draw_mutants(source: bytes, count: int, seed: str) -> list[Mutant]:
    """``count`` of all mutants of ``source``, or all where there are fewer; by their places."""
    mutants = sorted(set(all_mutants(source)), key=lambda mutant: (mutant.start, mutant.text))
    drawn = random.Random(seed).sample(mutants, min(count, len(mutants)))
    return sorted(drawn, key=lambda mutant: mutant.start)


def all_mutants(source: bytes) -> Iterator[Mutant]:
    """Every operator changed to its neighbour, constant to the next, condition to its opposite,
    and every call whose result is not used, assignment with an operator and ``raise`` left out.

    Decorators, annotations, words and docstrings stay as they are.
    """
    yield from _Places(source).mutants(ast.parse(source))


class _Places:
    """Where things stand in a source, in bytes."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def mutants(self, tree: ast.AST) -> Iterator[Mutant]:
        for node in _code(tree):
            if isinstance(node, ast.Compare) and len(node.ops) == 1:
                words = _COMPARISONS[type(node.ops[0])]
                yield from self.between(node.left, node.comparators[0], words)
            elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
                yield from self.between(node.left, node.right, _ARITHMETIC[type(node.op)])
            elif isinstance(node, ast.BoolOp):
                yield from self.between(*node.values[:2], _BOOLEAN[type(node.op)])
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
                yield self.replaced(node, self.text(node.operand))
            elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
                yield self.replaced(node, _next(node.value))
            elif isinstance(node, ast.If | ast.IfExp | ast.While):
                yield self.replaced(node.test, b"(not (" + self.text(node.test) + b"))")
            elif isinstance(node, ast.AugAssign | ast.Raise) or (
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            ):
                yield self.replaced(node, b"pass")

    def between(self, left: ast.expr, right: ast.expr, words: tuple[str, str]) -> Iterator[Mutant]:
        old, new = (word.encode() for word in words)
        start, end = self.span(left)[1], self.span(right)[0]
        place = self.source.find(old, start, end)
        if place >= 0:
            yield Mutant(left.end_lineno or 0, place, place + len(old), new)

    def replaced(self, node: ast.expr | ast.stmt, text: bytes) -> Mutant:
        return Mutant(node.lineno, *self.span(node), text)

    def text(self, node: ast.expr) -> bytes:
        start, end = self.span(node)
        return self.source[start:end]

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self.lines[node.lineno - 1] + node.col_offset
        return start, self.lines[node.end_lineno - 1] + node.end_col_offset


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but decorators, annotations and formatted words."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name in ("decorator_list", "annotation", "returns") or isinstance(tree, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _next(value: bool | int | float) -> bytes:
    changed = (not value) if isinstance(value, bool) else value + 1
    return str(changed).encode()
