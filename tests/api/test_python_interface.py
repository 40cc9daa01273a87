"""``import bitat_deploy``: the steps as functions, which print nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitat_deploy as bd
from bitat_deploy.onnx_format import read_network, reference_logits
from tests.bench_command import COMMAND
from tests.datasets.idx_files import write_folder
from tests.ssh_devices import LocalSshd

QUICK = bd.BenchOptions(warmup=0, min_runs=1, min_seconds=0)


class Told:
    """A Progress that remembers; and what it was told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stages.append((stage, done, total))


@pytest.fixture
def silent_streams(capfd: pytest.CaptureFixture[str]) -> Callable[[], None]:
    """Call it at the end of a test: nothing was printed until then."""

    def check() -> None:
        printed = capfd.readouterr()
        assert (printed.out, printed.err) == ("", "")

    return check


def test_the_import_loads_next_to_nothing() -> None:
    program = "import sys, bitat_deploy; print(*{name.split('.')[0] for name in sys.modules})"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(printed.stdout.split())
    assert "bitat_deploy" in loaded
    assert not loaded & {"numpy", "onnx", "tvm", "torch", "click", "rich", "yaml", "subprocess"}


def test_build_and_bench(
    host_bundle: Path, tmp_path: Path, silent_streams: Callable[[], None]
) -> None:
    told = Told()
    bundle = bd.build(host_bundle / "model.onnx", "host", tmp_path / "bundle", progress=told)
    assert bundle == bd.read_bundle(tmp_path / "bundle")
    assert told.stages and all(done == total == 0 for _, done, total in told.stages)
    told = Told()
    result = bd.bench(bundle, images=20, options=QUICK, progress=told)
    assert isinstance(result, bd.BenchResult)
    assert (result.accuracy.images, result.accuracy.logits_equal) == (20, True)
    assert result.dataset == "fashion-mnist"
    assert ("connecting to local", 0, 0) in told.stages
    assert any(0 < done == total for _, done, total in told.stages)
    document = bd.bench_document(result)
    assert document["model"]["name"] == bundle.manifest.model.name
    assert bd.html_report(document).startswith("<!DOCTYPE html>")
    silent_streams()


def test_bench_over_a_connection_that_stays_open(
    host_bundle: Path, local_sshd: LocalSshd, silent_streams: Callable[[], None]
) -> None:
    with bd.connect(local_sshd.host, local_sshd.ssh_config) as connection:
        result = bd.bench(host_bundle, connection, images=3, options=QUICK)
        assert result.accuracy.logits_equal
        assert connection.run(["echo", "still here"]).stdout == b"still here\n"
    silent_streams()


def test_run_doctor_clean(
    host_bundle: Path, local_sshd: LocalSshd, tmp_path: Path, silent_streams: Callable[[], None]
) -> None:
    picture = tmp_path / "grey.png"
    Image.fromarray(np.full((28, 28), 128, np.uint8)).save(picture)
    with bd.connect(local_sshd.host, local_sshd.ssh_config) as connection:
        logits = bd.run(host_bundle, [picture, picture], connection)
        findings = bd.doctor(connection, "x86-64-avx2")
        removed = bd.clean(connection)
    pixels = np.full((2, 28, 28, 1), 128, np.uint8)
    assert np.array_equal(logits, reference_logits(host_bundle / "model.onnx", pixels))
    assert {"system", "target"} <= {finding.subject for finding in findings}
    assert removed > 0
    with pytest.raises(bd.BitatDeployError, match="no picture to classify"):
        bd.run(host_bundle, [])
    silent_streams()


def test_bench_of_boards(host_bundle: Path) -> None:
    boards = [bd.Board("local", "one"), bd.Board("local", "two", host_bundle)]
    outcomes = bd.bench_boards(boards, bd.read_bundle(host_bundle), images=3, options=QUICK)
    assert [outcome.board for outcome in outcomes] == boards
    assert all(outcome.result and outcome.result.accuracy.logits_equal for outcome in outcomes)


def test_errors_are_ours(host_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(bd.BitatDeployError, match="no network with that name"):
        bd.build(tmp_path / "missing.onnx")
    with pytest.raises(bd.BitatDeployError, match="is not a bundle"):
        bd.bench(tmp_path)
    with pytest.raises(bd.BitatDeployError, match="not a host"):
        bd.bench(host_bundle, "not a host", images=1)
    with pytest.raises(bd.BitatDeployError, match="threads must be 1 at least, not 0"):
        bd.BenchOptions(threads=0)


def test_train_export_build(tmp_path: Path, silent_streams: Callable[[], None]) -> None:
    """The road from a recipe to an answer, in one program."""
    told = Told()
    changes = ["data.train_images=64", "data.validation_images=32", "data.test_images=20"]
    changes += ["network.blocks=[[64, 2]]", "data.calibration_images=32"]
    trained = bd.train(
        "smoke",
        write_folder(tmp_path / "data"),
        tmp_path / "run",
        changes=changes,
        threads=1,
        progress=told,
    )
    assert trained.file == tmp_path / "run" / "checkpoint.pt"
    assert trained.top1 is not None and 0 <= trained.top1 <= 1
    stages = [stage for stage, *_ in told.stages]
    assert any(stage.startswith("fine-tune, loss ") for stage in stages)
    assert any("validation" in stage for stage in stages)
    assert told.stages[-1][1] == told.stages[-1][2] > 0
    network = bd.export(trained.file, tmp_path / "model.onnx")
    assert read_network(tmp_path / "model.onnx").metadata == network.metadata
    assert np.isclose(float(network.metadata["top1"]), trained.top1, atol=1e-4)
    silent_streams()


def test_the_package_is_a_program() -> None:
    as_module, as_program = (
        subprocess.run([*command, "bench", "--help"], capture_output=True, text=True, check=True)
        for command in ([sys.executable, "-m", "bitat_deploy"], [COMMAND])
    )
    assert as_module.stdout == as_program.stdout
