"""Tuning records: reading, writing, and the schedule that they speak for."""

import dataclasses
import json
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.errors import InputError
from bitat_deploy.operators import PointwiseSchedule
from bitat_deploy.operators.binary_pointwise import BinaryPointwiseConv
from bitat_deploy.records.choice import Records, load_records
from bitat_deploy.records.files import (
    append_records,
    own_records_path,
    read_records,
    records_identity,
)
from bitat_deploy.records.record import Record, processor, schedule_key
from bitat_deploy.target import load_target
from tests.drawn_networks import draw_network
from tests.operators.drawn_layers import pointwise as drawn_pointwise

TARGET = load_target("rpi4")
FAST, SLOW, GONE = (PointwiseSchedule(8, 16, pixels, 4, 1) for pixels in (2, 3, 99))


class Pointwise(BinaryPointwiseConv):
    """With a space of its own, whatever the operator's is."""

    def space(self) -> tuple[PointwiseSchedule, ...]:
        return (FAST, SLOW)


def pointwise() -> Pointwise:
    drawn = drawn_pointwise(np.random.default_rng(0), 4, 4, 16, 16)
    return Pointwise(drawn.layer, drawn.formats, TARGET)


def record(schedule: Any, value: float, **changes: object) -> Record:
    known = Record(
        target="rpi4",
        processor=processor(TARGET),
        workload=pointwise().workload,
        schedule=schedule_key(schedule),
        default=schedule_key(pointwise().default_schedule),
        outcome="ok",
        value=value,
        reference=100.0,
        unit="ns",
        noise=0.01,
        source="device",
        device="a Pi",
        date="2026-11-21T12:00:00Z",
        versions={"bitat-deploy": "0.1.0"},
    )
    return dataclasses.replace(known, **changes)


def chosen(shipped: list[Record], own: list[Record]) -> object:
    choice = Records(shipped, own).choose(pointwise())
    return None if choice is None else (choice.schedule, choice.origin)


def test_the_fastest_is_chosen() -> None:
    records = [record(SLOW, 95), record(FAST, 90), record(None, 100)]
    assert chosen(records, []) == (FAST, "device: a Pi")
    assert chosen([record(None, 100), record(SLOW, 105)], []) == (None, "device: a Pi")
    assert chosen([], []) is None


def test_times_count_as_shares_of_the_defaults() -> None:
    hot = record(FAST, 150, reference=200.0)
    assert chosen([record(SLOW, 90), hot], []) == (FAST, "device: a Pi")


@pytest.mark.parametrize("outcome", ["wrong", "crashed", "hung", "not built"])
def test_what_did_not_work_is_never_used(outcome: str) -> None:
    failed = record(FAST, 0, reference=100.0, outcome=outcome)
    assert chosen([failed, record(SLOW, 95)], [failed]) == (SLOW, "device: a Pi")


def test_own_measurements_win_and_models_come_last() -> None:
    model = {"source": "model", "device": "a model", "unit": "cycles"}
    assert chosen([record(FAST, 50, **model)], [record(SLOW, 99)]) == (SLOW, "device: a Pi")
    assert chosen([record(SLOW, 99)], [record(FAST, 50, **model)]) == (SLOW, "device: a Pi")
    mine = record(SLOW, 99, device="my Pi")
    assert chosen([record(FAST, 50)], [mine]) == (SLOW, "device: my Pi")
    assert chosen([record(FAST, 50, **model)], []) == (FAST, "model: a model")


def test_emulated_times_are_not_used() -> None:
    assert chosen([], [record(FAST, 50, source="emulated")]) is None


def test_a_schedule_that_is_gone_is_ignored() -> None:
    assert chosen([], [record(GONE, 10)]) is None
    assert chosen([record(FAST, 90)], [record(GONE, 10)]) == (FAST, "device: a Pi")


def test_a_choice_that_is_newer_than_the_record() -> None:
    known = record(FAST, 90)
    older = json.dumps({k: v for k, v in json.loads(known.schedule).items() if "table" not in k})
    assert older != known.schedule
    assert chosen([dataclasses.replace(known, schedule=older)], []) == (FAST, "device: a Pi")


def test_records_against_another_default_do_not_count() -> None:
    assert chosen([record(FAST, 50, default=schedule_key(GONE))], []) is None


def test_a_later_record_replaces_an_earlier_one() -> None:
    again = [record(FAST, 10), record(SLOW, 90), record(FAST, 99)]
    assert chosen([], again) == (SLOW, "device: a Pi")


def test_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "rpi4.jsonl"
    records = [record(FAST, 90.5), record(None, 100)]
    append_records(path, records[:1])
    append_records(path, records[1:])
    assert read_records(path, TARGET) == records
    assert read_records(tmp_path / "none", TARGET) == []


def test_half_a_line_is_cut_away(tmp_path: Path) -> None:
    path = tmp_path / "rpi4.jsonl"
    append_records(path, [record(FAST, 90)])
    with path.open("a") as file:
        file.write(record(SLOW, 90).to_line()[:50])
    assert read_records(path, TARGET) == [record(FAST, 90)]
    append_records(path, [record(SLOW, 80)])
    assert read_records(path, TARGET) == [record(FAST, 90), record(SLOW, 80)]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[:-10],
        lambda line: line.replace('"value": 90', '"value": "90"'),
        lambda line: line.replace('"value": 90', '"value": -1'),
        lambda line: line.replace('"value": 90', '"value": Infinity'),
        lambda line: line.replace('"ok"', '"fine"'),
        lambda line: re.sub(r'"schedule": {.*?}', '"schedule": "fastest"', line),
        lambda line: line.replace('"noise"', '"noises"'),
        lambda line: "[" * 100_000,
        lambda line: "",
    ],
)
def test_damaged_line(change: object, tmp_path: Path) -> None:
    line = record(FAST, 90).to_line().strip()
    path = tmp_path / "rpi4.jsonl"
    path.write_text(f"{line}\n{change(line)}\n{line}\n")  # type: ignore[operator]
    with pytest.raises(InputError, match=f"line 2 of '{path}' is not a tuning record"):
        read_records(path, TARGET)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "rpi4.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not text"):
        read_records(path, TARGET)


def test_records_of_other_processors_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rpi4.jsonl"
    append_records(path, [record(FAST, 90, processor="aarch64 cortex-a53 +neon")])
    append_records(path, [record(FAST, 90, target="rpi3")])
    assert read_records(path, TARGET) == []


def test_what_is_no_file() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        append_records(Path("/dev/full"), [record(FAST, 90)])
    with pytest.raises(InputError, match="not a regular file"):
        read_records(Path("/dev/zero"), TARGET)


def test_disk_full(tmp_path: Path) -> None:
    """What was there stays, and no part of a line is left."""
    path = tmp_path / "rpi4.jsonl"
    append_records(path, [record(FAST, 90)])
    written = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(written) + 100, before[1]))
    try:
        with pytest.raises(InputError, match="cannot be written: File too large"):
            append_records(path, [record(SLOW, 90)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == written


def test_a_build_uses_own_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    network = draw_network(1, (28, 28, 1), (16, 2), ((32, 2),), bits=(2, 2))
    plain = lower_layers(network, TARGET)
    tunable = next(layer for layer in plain if layer.operator.space())
    schedule = tunable.operator.space()[-1]
    workload = tunable.operator.workload
    default = schedule_key(tunable.operator.default_schedule)
    mine = record(schedule, 50, workload=workload, default=default)
    before = records_identity(TARGET)
    append_records(own_records_path(TARGET), [mine])
    assert records_identity(TARGET) != before
    tuned = lower_layers(network, TARGET, load_records(TARGET))
    same = next(layer for layer in tuned if layer.report.name == tunable.report.name)
    assert same.operator.schedule == schedule
    assert same.report.tuned == "device: a Pi"
