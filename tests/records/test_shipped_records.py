"""The tuning records that ship: sound, of schedules that exist, and used by a build."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from benchmarks.random_networks import (
    WIDER_NETWORKS,
    random_mobilenet_v1,
    random_mobilenet_v2,
)
from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.network import IntegerNetwork
from bitat_deploy.onnx_format import read_network
from bitat_deploy.records.choice import find_schedule, load_records
from bitat_deploy.records.files import read_records, shipped_records_path
from bitat_deploy.records.record import DEFAULT, MODEL, Record, parse_record, processor
from bitat_deploy.target import Target, load_target, target_names
from bitat_deploy.zoo import DEFAULT_MODEL, resolve_model

MODELLED = ["aarch64", "cortex-a55", "rpi-zero2w", "rpi3", "rpi4", "rpi5"]


@pytest.fixture(autouse=True)
def no_own_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


@pytest.mark.parametrize("name", MODELLED)
def test_a_build_uses_them(name: str) -> None:
    target = load_target(name)
    layers = lower_layers(read_network(resolve_model(DEFAULT_MODEL)), target, load_records(target))
    tuned = {layer.report.name: layer.report.tuned for layer in layers if layer.report.tuned}
    pointwise = [layer.report for layer in layers if layer.report.kind.startswith("pointwise")]
    assert pointwise and {layer.name for layer in pointwise} <= set(tuned)
    assert all(origin.startswith(f"{MODEL}: llvm-mca") for origin in tuned.values())


@pytest.mark.parametrize("name", MODELLED)
def test_the_fastest_schedule_is_taken(name: str) -> None:
    target = load_target(name)
    records = read_records(shipped_records_path(target), target)
    layers = lower_layers(read_network(resolve_model(DEFAULT_MODEL)), target, load_records(target))
    for layer in layers:
        if layer.report.tuned:
            space = layer.operator.space()
            same = [
                r
                for r in records
                if r.workload == layer.operator.workload
                and (r.schedule == DEFAULT or find_schedule(r.schedule, space) is not None)
            ]
            best = min(same, key=lambda record: record.ratio)
            assert layer.operator.schedule == find_schedule(best.schedule, space)
            assert best.ratio <= 1


@pytest.mark.parametrize("name", [n for n in target_names() if n != "host"])
def test_every_line_is_of_its_target(name: str) -> None:
    target = load_target(name)
    path = shipped_records_path(target)
    if path.exists():
        lines = path.read_text().splitlines()
        records = read_records(path, target)
        assert len(records) == len(lines) > 0
        assert {record.processor for record in records} == {processor(target)}


@pytest.mark.parametrize("name", [*MODELLED, "host"])
def test_every_record_still_applies(name: str) -> None:
    """Some layer of the networks that records are made for has the workload and the schedules."""
    path = shipped_records_path(load_target(name))
    records = [parse_record(line) for line in path.read_text().splitlines()]
    for target, group in _by_target(name, [record for record in records if record]):
        layers = [layer for network in _networks() for layer in lower_layers(network, target)]
        operators = {layer.operator.workload: layer.operator for layer in layers}
        for record in group:
            assert record.workload in operators, "no layer has this workload any more"
            operator = operators[record.workload]
            assert find_schedule(record.default, [operator.default_schedule]) is not None, record
            is_default = record.schedule == DEFAULT
            assert is_default or find_schedule(record.schedule, operator.space()), record


@cache
def _networks() -> list[IntegerNetwork]:
    """Those of scripts/make-records."""
    zoo = read_network(resolve_model(DEFAULT_MODEL))
    eight_bits = WIDER_NETWORKS["mobilenet-v1-w8a8"]()
    return [zoo, random_mobilenet_v1(), random_mobilenet_v2(), eight_bits]


def _by_target(name: str, records: list[Record]) -> Iterator[tuple[Target, list[Record]]]:
    """Records by what they were compiled for: `host` has those of several processors."""
    target = load_target("x86-64-avx512" if name == "host" else name)
    for one in {record.processor for record in records}:
        _, cpu, *features = one.split()
        compiled = replace(target, cpu=cpu, features=tuple(features))
        yield compiled, [record for record in records if record.processor == one]
