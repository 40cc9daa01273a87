"""Every file is read and sound, or refused in one line. scripts/fuzz tries more."""

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.parsers import PARSERS, Parser


@cache
def seeds(parser: Parser) -> list[bytes]:
    return parser.seeds()


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_seeds_are_accepted(parser: Parser) -> None:
    assert all(parser.try_one(seed) for seed in seeds(parser))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 2**32), changes=st.integers(1, 3))
def test_changed_files(parser: Parser, number: int, changes: int) -> None:
    source = random.Random(number)
    content = source.choice(seeds(parser))
    for _ in range(changes):
        content = parser.mutate(content, source)
    parser.try_one(content)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@settings(max_examples=50, deadline=None)
@given(number=st.integers(0, 2**32))
def test_damaged_files(parser: Parser, number: int) -> None:
    source = random.Random(number)
    parser.try_one(mutate_bytes(source.choice(seeds(parser)), source))
