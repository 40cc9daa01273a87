"""What the measuring program prints is checked before it becomes a record."""

import json
from typing import Any

import pytest

from bitat_deploy.errors import RunFailedError
from bitat_deploy.tuning.measurement import Timed, TimedBatch, parse_batch

SOUND = {"outcome": "ok", "message": "", "min_ns": [200.0, 100.5]}
DEFAULT = SOUND | {"min_ns": [200.0, 100.5, 150.0]}  # also measured after the others
NAN, INFINITY = json.loads("[NaN, Infinity]")
WRONG = {"outcome": "wrong", "message": "a\x1b[2Jb", "min_ns": []}


def parse(*candidates: Any) -> TimedBatch:
    content = json.dumps({"candidates": candidates}).encode()
    return parse_batch(content, "pi", len(candidates) - 1, rounds=2)


def test_a_sound_batch() -> None:
    batch = parse(DEFAULT, SOUND, WRONG)
    assert batch.reference_ns == 100.5
    assert batch.noise == 200 / 100.5 - 1
    assert batch.candidates == (Timed("ok", 100.5), Timed("wrong", 0.0, "a[2Jb"))


def test_a_default_that_fails_is_a_defect() -> None:
    with pytest.raises(RunFailedError, match="the default schedule fails"):
        parse(WRONG)


@pytest.mark.parametrize(
    "content",
    [
        *(b"null", b"[]", b"5", b"", b"\xff", b"{}", b'{"candidates": {}}', b'{"candidates": []}'),
        *(b"[" * 200_000, b'{"candidates": [' + b"9" * 5000 + b"]}"),
    ],
)
def test_no_batch(content: bytes) -> None:
    with pytest.raises(RunFailedError, match="on 'pi' printed is no result of 2 candidates"):
        parse_batch(content, "pi", 1, rounds=2)


@pytest.mark.parametrize(
    "times",
    [
        *(None, {}, "12", [], [1.0], [1.0, 2.0, 3.0], [1.0, "2"], [1.0, True], [[1.0], 1.0]),
        *([1.0, 0], [1.0, -1.0], [1.0, 1e300], [1.0, 10**400]),
        *([NAN, 1.0], [1.0, NAN], [INFINITY, 1.0]),
    ],
)
def test_times_that_are_none(times: Any) -> None:
    of_default = [*times, 1.0] if isinstance(times, list) else times
    for candidates in (
        [DEFAULT, SOUND | {"min_ns": times}],
        [DEFAULT | {"min_ns": of_default}, SOUND],
    ):
        with pytest.raises(RunFailedError, match="is no result"):
            parse(*candidates)


@pytest.mark.parametrize("entry", [None, [], "ok", {}, {"outcome": ["ok"]}, {"outcome": "fine"}])
def test_entries_that_are_none(entry: Any) -> None:
    with pytest.raises(RunFailedError, match="is no result"):
        parse(DEFAULT, entry)
