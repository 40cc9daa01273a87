"""What a runner prints is checked before anything is made of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bitat_deploy.device.bench_options import BenchOptions
from bitat_deploy.device.connection import Result
from bitat_deploy.device.execution import RUNNER
from bitat_deploy.device.run_result import parse_run_result
from bitat_deploy.device.runner_failure import runner_failure
from bitat_deploy.errors import BundleError, RunFailedError
from tests.report.factory import PI

OPTIONS = BenchOptions(warmup=2, min_runs=3, min_seconds=0, profile_runs=5)
SOUND = {
    "schema_version": 1,
    "load_ns": 5_000_000,
    "first_inference_ns": 900_000,
    "warmup": 2,
    "threads": 1,
    "images": 7,
    "classes": 10,
    "peak_rss_bytes": 4096,
    "cpu_ns": 6_000_000,
    "durations_ns": [800_000, 700_000, 750_000],
    "layers_ns": [{"name": "layer0_stem", "ns": 500_000}],
}


def parse(content: bytes, options: BenchOptions = OPTIONS) -> Any:
    return parse_run_result(content, "pi", options, 7, 10)


def test_a_sound_result() -> None:
    result = parse(json.dumps(SOUND).encode())
    assert (result.images, result.classes, result.cpu_ns) == (7, 10, 6_000_000)
    assert result.durations_ns == (800_000, 700_000, 750_000)
    assert result.layers_ns == ({"name": "layer0_stem", "ns": 500_000},)
    old = {key: value for key, value in SOUND.items() if key not in ("cpu_ns", "layers_ns")}
    result = parse(json.dumps(old).encode(), replace(OPTIONS, profile_runs=0))
    assert (result.cpu_ns, result.layers_ns) == (None, ())


def test_a_run_may_end_early_where_the_time_is_over() -> None:
    slow = json.dumps(SOUND | {"durations_ns": [119 * 10**9]}).encode()
    assert parse(slow).durations_ns == (119 * 10**9,)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("load_ns", [None, -1, 1.5, "1", True, [], 10**20, float("nan"), float("inf")]),
        ("first_inference_ns", [None, -5000]),
        ("warmup", [None, 3]),
        ("threads", [0, 2]),
        ("images", [6, -7, 10**30]),
        ("classes", [0, 9, 1 << 40]),
        ("peak_rss_bytes", [-1, 1 << 60]),
        ("cpu_ns", [None, -1]),
        ("durations_ns", [None, [], {}, "abc", 5, [1, 2], [0, 0, 0], [1, 2, -3], [1, 2, 3.5]]),
        ("durations_ns", [[1, 2, True], [1, 2, 10**18], [[1], [2], [3]], [1, 2, None]]),
        ("layers_ns", [None, [5], [{}], [{"name": 5, "ns": 5}], [{"name": "a", "ns": -1}], "ab"]),
    ],
)
def test_an_impossible_value_is_named(key: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(RunFailedError, match=f"'pi' gives an impossible value for '{key}'"):
            parse(json.dumps(SOUND | {key: value}).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"\xff\xfe",
        b"{",
        b"[" * 200_000,
        b'{"a": ' * 200_000,
        b'{"load_ns": ' + b"9" * 5000 + b"}",
    ],
)
def test_no_result(content: bytes) -> None:
    with pytest.raises(RunFailedError, match="the runner on 'pi' printed no result"):
        parse(content)


def test_what_is_missing_is_of_an_older_runner() -> None:
    for key in set(SOUND) - {"schema_version", "cpu_ns"}:
        less = {name: value for name, value in SOUND.items() if name != key}
        with pytest.raises(BundleError, match=f"does not tell '{key}'"):
            parse(json.dumps(less).encode())


@pytest.mark.parametrize("code", [-1, 193, 255, 256, 10**9])
def test_an_exit_status_that_is_no_signal(code: int) -> None:
    error = runner_failure(PI, Result(code, b"", ""), RUNNER)
    assert f"failed: it ended with exit code {code}" in str(error)
