"""The tuning records that ship: sound, of schedules that exist, and used by a build."""

from pathlib import Path

import pytest

from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.compiler.record import DEFAULT, MODEL, processor
from bitat_deploy.compiler.record_files import read_records, shipped_records_path
from bitat_deploy.compiler.records import find_schedule, load_records
from bitat_deploy.onnx_format import read_network
from bitat_deploy.target import load_target, target_names
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
