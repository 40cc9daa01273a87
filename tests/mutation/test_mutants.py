import ast
from pathlib import Path

import pytest

from tests.mutation.mutants import all_mutants, draw_mutants
from tests.mutation.record import Outcome, merged
from tests.mutation.targets import TARGETS

ROOT = Path(__file__).parents[2]

SOURCE = b'''
@decorated(True)
def f(a: int = 1, *, b: bool = True) -> int:
    """1 < 2"""
    if not a and b:
        raise ValueError(f"{a + 1}")
    print(a)
    a += 2
    return (a) << b if a in b else -a
'''

CHANGES = {
    b"1": b"2",
    b"2": b"3",
    b"True": b"False",
    b"not a": b"a",
    b"and": b"or",
    b"not a and b": b"(not (not a and b))",
    b'raise ValueError(f"{a + 1}")': b"pass",
    b"print(a)": b"pass",
    b"a += 2": b"pass",
    b"<<": b">>",
    b"in": b"not in",
    b"a in b": b"(not (a in b))",
    b"-a": b"a",
}


def test_every_kind_of_mistake() -> None:
    found = {SOURCE[mutant.start : mutant.end]: mutant.text for mutant in all_mutants(SOURCE)}
    assert found == CHANGES
    for mutant in all_mutants(SOURCE):
        assert ast.dump(ast.parse(mutant.apply(SOURCE))) != ast.dump(ast.parse(SOURCE))
        assert SOURCE[: mutant.start].count(b"\n") == mutant.line - 1


def test_the_draw_is_repeatable() -> None:
    drawn = draw_mutants(SOURCE, 4, "1")
    assert len(drawn) == len(set(drawn)) == 4
    assert drawn == draw_mutants(SOURCE, 4, "1") != draw_mutants(SOURCE, 4, "2")


def test_a_survivor_stands_for_all_lines_that_read_alike(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("return False\n")
    ends = [
        Outcome("module.py", "return False", "return True", noticed) for noticed in (False, True)
    ]
    for order in (ends, ends[::-1]):
        assert merged([], order, tmp_path) == ends[:1]
    assert merged(ends[:1], ends[1:], tmp_path) == ends[1:]  # tried again


@pytest.mark.parametrize("module", TARGETS)
def test_targets_are_there_and_parse_with_a_mistake(module: str) -> None:
    source = (ROOT / module).read_bytes()
    for mutant in draw_mutants(source, 3, "1"):
        ast.parse(mutant.apply(source))
    for test in TARGETS[module]:
        assert (ROOT / test.partition("::")[0]).is_file()
