"""``tune`` end to end: on this machine, over real SSH, broken off and resumed."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bitat_deploy.compiler.lowering import lower_layers
from bitat_deploy.device import Connection
from bitat_deploy.errors import ConnectionFailedError, InputError, RunFailedError
from bitat_deploy.onnx_format import read_network
from bitat_deploy.records.choice import Records
from bitat_deploy.records.files import read_records
from bitat_deploy.target import load_target
from bitat_deploy.tuning.options import TuneOptions
from bitat_deploy.tuning.run import tune as run_tuning
from tests.fragile_link import fragile
from tests.ssh_devices import LocalSshd, processes_in
from tests.tune_command import assert_refused, candidates, on, read_lines, start_tune, tune

HOST = load_target("host")
FEW = ("--trials", "2")
MANY = ("--trials", "32")  # so many that it is not done before it is interrupted


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(device: LocalSshd) -> list[int]:
    """Processes that run in the device's run folders."""
    return processes_in(device.home / ".cache")


def test_local(tunable_model: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    printed = tune(tunable_model, records, "--max-noise", "1000", *FEW)
    assert str(records) in printed
    lines = read_lines(records)
    assert {line["source"] for line in lines} == {"local"}
    assert {line["outcome"] for line in lines} == {"ok"}  # no schedule gives a wrong answer
    assert all(line["value"] > 0 < line["reference"] for line in lines)
    # A build takes what they say.
    network = read_network(tunable_model)
    layers = lower_layers(network, HOST, Records(own=read_records(records, HOST)))
    tuned = [layer.report.tuned for layer in layers if layer.operator.space()]
    assert tuned and all(origin.startswith("local: ") for origin in tuned)
    # A second run has nothing left to do.
    content = records.read_bytes()
    assert "0 candidates tried" in tune(tunable_model, records, *FEW)
    assert records.read_bytes() == content


def test_killed_and_resumed_over_ssh(
    tunable_model: Path, local_sshd: LocalSshd, tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"
    process = start_tune(tunable_model, records, *on(local_sshd), *FEW)
    wait_until(lambda: read_lines(records))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not runs(local_sshd))  # nothing runs on there
    before = candidates(records)
    printed = tune(tunable_model, records, *on(local_sshd), *FEW)
    assert f"{len(before)} known from earlier runs" in printed
    after = candidates(records)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) > len(before)  # nothing was measured twice
    assert {line["source"] for line in read_lines(records)} == {"device"}


def test_connection_cut_while_measuring(
    tunable_model: Path, local_sshd: LocalSshd, tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"
    with fragile(local_sshd, tmp_path) as (device, link):
        process = start_tune(tunable_model, records, *on(device), *FEW)
        wait_until(lambda: runs(local_sshd))
        link.cut()
        assert_refused(process, RunFailedError.exit_code, device.host, "lost")
    wait_until(lambda: not runs(local_sshd))
    tune(tunable_model, records, *on(local_sshd), *FEW)
    assert len(candidates(records)) == len(set(candidates(records)))


def test_interrupt_leaves_no_process(
    tunable_model: Path, local_sshd: LocalSshd, tmp_path: Path
) -> None:
    process = start_tune(tunable_model, tmp_path / "records.jsonl", *on(local_sshd), *MANY)
    wait_until(lambda: runs(local_sshd))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the builders too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Aborted!" in stderr and "Traceback" not in stderr
    wait_until(lambda: not runs(local_sshd))
    assert list(local_sshd.home.glob(".cache/bitat-deploy/runs/*")) == []


def test_one_of_two_devices_drops_out(
    tunable_model: Path, local_sshd: LocalSshd, tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"
    with fragile(local_sshd, tmp_path, limit=20_000) as (device, _):
        known_hosts = (tmp_path / "known_hosts").read_text() + known(local_sshd).read_text()
        (tmp_path / "known_hosts").write_text(known_hosts)
        process = start_tune(tunable_model, records, *on(device), "--host", local_sshd.host, *FEW)
        _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert f"'{device.host}' dropped out" in stderr
    assert len(candidates(records)) == len(set(candidates(records))) > 0


def known(device: LocalSshd) -> Path:
    return device.state / "known_hosts"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "local", "--host", "model"), ("cannot share",)),
        (("--host", "a", "--host", "a"), ("twice",)),
        (("--target", "rpi4"), ("aarch64", "--host model")),
        (("--target", "rpi-32bit", "--host", "pi@device"), ("rpi-32bit",)),
    ],
)
def test_bad_options(
    options: tuple[str, ...], words: tuple[str, ...], tunable_model: Path, tmp_path: Path
) -> None:
    process = start_tune(tunable_model, tmp_path / "records.jsonl", *options)
    assert_refused(process, InputError.exit_code, *words)


def test_damaged_records(tunable_model: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    records.write_text("no record\n")
    process = start_tune(tunable_model, records, *FEW)
    assert_refused(process, InputError.exit_code, f"line 1 of '{records}'")
    assert records.read_text() == "no record\n"


def test_devices_are_asked_before_the_network_is_read(tmp_path: Path) -> None:
    def connect(host: str) -> Connection:
        raise ConnectionFailedError(f"'{host}' is not there")

    records, absent = tmp_path / "records.jsonl", tmp_path / "absent.onnx"
    options = TuneOptions(jobs=1)
    with pytest.raises(ConnectionFailedError, match="'pi@a' is not there"):
        run_tuning(absent, HOST, ["pi@a", "pi@b"], records, connect, options, lambda *_: None)
