"""A device that answers anything at all ends every command in one sentence, or harmlessly."""

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from bitat_deploy import device as device_package
from bitat_deploy.bundle import Bundle, read_bundle
from bitat_deploy.cli.main import cli
from bitat_deploy.datasets import Dataset, drawn_dataset
from bitat_deploy.device import BenchOptions, Connection, Result, bench, inspect_device, read_health
from bitat_deploy.device.clean import clean_device
from bitat_deploy.device.push import push_file, pushed
from bitat_deploy.device.suitability import check_suitable
from bitat_deploy.errors import BitatDeployError
from bitat_deploy.report import (
    bench_document,
    html_report,
    json_report,
    markdown_report,
    read_report,
    terminal_report,
)
from bitat_deploy.target import load_target
from bitat_deploy.tuning.building import Kernel
from bitat_deploy.tuning.measurement import measure_batch
from bitat_deploy.tuning.on_devices import check_worthwhile
from bitat_deploy.tuning.options import Effort
from bitat_deploy.tuning.task import Check
from tests.hostile_answers import COMMANDS, Lie, LyingDevice, Recorded, drawn_lie, lies
from tests.hostile_device import is_shown_safely

OPTIONS = BenchOptions(warmup=1, min_runs=5, min_seconds=0)
EFFORT = Effort(rounds=2)
LIES = lies()

# What a device may send for one command before it is stopped: the usual limit, and a piece.
MOST_BYTES = (1 << 20) + (1 << 17)


@pytest.fixture(scope="module")
def opened(host_bundle: Path) -> Bundle:
    return read_bundle(host_bundle)


@pytest.fixture(scope="module")
def images(opened: Bundle) -> Dataset:
    return drawn_dataset(opened.manifest.model.input_shape, 4)


@pytest.fixture(scope="module")
def recorded(
    opened: Bundle, images: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Result]:
    """The answers of this machine."""
    device = Recorded()
    device.folder = str(tmp_path_factory.mktemp("device"))
    bench(opened, device, images, OPTIONS)
    bench(opened, device, images, OPTIONS)  # all is there
    clean_device(device, force=True)
    candidates = [{"outcome": "ok", "min_ns": [5.0] * rounds} for rounds in (3, 2)]
    measured = Result(0, json.dumps({"candidates": candidates}).encode(), "")
    return device.results | {"measure": measured, "write": Result(0, b"", "")}


def users(command: str) -> list[Callable[[Connection, Bundle, Dataset, Path], None]]:
    """What gives that command; of several that do so in the same way, one."""
    if command in ("inspect", "health"):
        return [_bench, _doctor]
    return {"run": [_bench], "fetch": [_bench], "clean": [_clean]}.get(command, [_tune])


def use(
    command: str,
    device: Connection,
    bundle: Bundle,
    images: Dataset,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What gives ``command``: bench, doctor, tune's part on the device, clean. Checks its words."""
    for act in users(command):
        with monkeypatch.context() as patch:
            patch.setattr(device_package, "connect", lambda *_, **__: device)
            try:
                act(device, bundle, images, folder)
            except BitatDeployError as error:
                assert is_shown_safely(str(error)) and "\n" not in str(error), str(error)
                assert len(str(error)) < 1500


def _bench(device: Connection, bundle: Bundle, images: Dataset, folder: Path) -> None:
    document = bench_document(bench(bundle, device, images, OPTIONS))
    (folder / "report.json").write_text(json_report(document))
    read = read_report(folder / "report.json")
    console = Console(width=100, record=True, file=(folder / "terminal").open("w"))
    console.print(terminal_report(read))
    assert is_shown_safely(console.export_text())
    html_report(read)
    markdown_report(read)


def _doctor(device: Connection, bundle: Bundle, images: Dataset, folder: Path) -> None:
    finished = CliRunner().invoke(cli, ["doctor"])
    assert is_shown_safely(finished.output)
    if finished.exception is not None and not isinstance(finished.exception, SystemExit):
        raise finished.exception


def _tune(device: Connection, bundle: Bundle, images: Dataset, folder: Path) -> None:
    found = inspect_device(device)
    check_suitable(found, load_target("host"), 30_000_000)
    check_worthwhile(found, read_health(device))
    (folder / "program").write_text("program")
    check = Check(inputs=(), expected=np.zeros(3, np.float32))
    kernel = Kernel(b"library", ())
    files = [push_file(folder / "program", "program", executable=True)]
    with pushed(device, found.cache, "identity", files) as run_folder:
        batch = measure_batch(run_folder, check, kernel, [kernel], EFFORT)
    assert 0 < batch.reference_ns < float("inf") and 0 <= batch.noise < float("inf")
    assert all(is_shown_safely(one.message) for one in batch.candidates)


def _clean(device: Connection, bundle: Bundle, images: Dataset, folder: Path) -> None:
    assert clean_device(device) >= 0


def test_all_is_well_where_nothing_is_a_lie(
    recorded: dict[str, Result],
    opened: Bundle,
    images: Dataset,
    tmp_path: Path,
) -> None:
    device = LyingDevice(recorded, Lie("none", "", lambda sound: [sound]))
    for act in (_bench, _tune, _clean):
        act(device, opened, images, tmp_path)
    assert bench(opened, device, images, OPTIONS).accuracy.logits_equal


def test_the_table_is_long_and_covers_all_commands() -> None:
    assert len(LIES) >= 60
    assert {lie.command for lie in LIES} == set(COMMANDS)
    assert len({lie.name for lie in LIES}) == len(LIES)


@pytest.mark.parametrize("command", COMMANDS)
def test_answers_of_the_table(
    command: str,
    recorded: dict[str, Result],
    opened: Bundle,
    images: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for lie in [lie for lie in LIES if lie.command == command]:
        device = LyingDevice(recorded, lie)
        try:
            use(command, device, opened, images, tmp_path, monkeypatch)
        except Exception as error:
            raise AssertionError(lie.name) from error
        # There may be several commands of a kind; none of them takes in an answer without end.
        assert device.taken < 6 * MOST_BYTES, lie.name


@pytest.mark.parametrize("seed", range(40))
def test_drawn_answers(
    seed: int,
    recorded: dict[str, Result],
    opened: Bundle,
    images: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lie = drawn_lie(random.Random(seed), recorded)
    use(lie.command, LyingDevice(recorded, lie), opened, images, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "lie", [lie for lie in LIES if lie.name in ("run: half of it", "fetch: NaN", "health: nothing")]
)
def test_a_lie_is_noticed(
    lie: Lie, recorded: dict[str, Result], opened: Bundle, images: Dataset
) -> None:
    """The table does reach the code: these end a bench, or make it say that answers differ."""
    device = LyingDevice(recorded, lie)
    with contextlib.suppress(BitatDeployError):
        assert not bench(opened, device, images, OPTIONS).accuracy.logits_equal
