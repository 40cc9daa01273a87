"""``tune`` on the virtual Pi: few trials, killed and resumed; its disk full; switched off."""

import signal
from pathlib import Path

import pytest

from bitat_deploy.errors import RunFailedError
from bitat_deploy.records.choice import load_records
from bitat_deploy.records.files import own_records_path, read_records
from bitat_deploy.target import load_target
from tests.ssh_devices import VirtualPi
from tests.tune_command import assert_refused, candidates, on, read_lines, start_tune, tune
from tests.tuning.test_tune import FEW, MANY, wait_until

pytestmark = pytest.mark.virtual_pi

RPI4 = load_target("rpi4")


def test_killed_and_resumed(
    virtual_pi: VirtualPi, tunable_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    records = own_records_path(RPI4)
    process = start_tune(tunable_model, records, *on(virtual_pi, "rpi4"), *FEW)
    wait_until(lambda: read_lines(records))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not virtual_pi.run("pgrep -x measure_kernels", check=False))
    before = candidates(records)
    printed = tune(tunable_model, records, *on(virtual_pi, "rpi4"), *FEW)
    assert f"{len(before)} known from earlier runs" in printed
    assert "EMULATED" in printed
    after = candidates(records)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) > len(before)
    lines = read_lines(records)
    assert {line["outcome"] for line in lines} == {"ok"}  # the answers are the references'
    assert {line["source"] for line in lines} == {"emulated"}
    # Times of an emulated processor are kept, but no build takes them.
    assert len(read_records(records, RPI4)) == len(lines)
    assert not load_records(RPI4).workloads() & {line["workload"] for line in lines}


def test_disk_full(virtual_pi: VirtualPi, tunable_model: Path, tmp_path: Path) -> None:
    cache = "~/.cache/bitat-deploy"
    virtual_pi.run(f"rm -rf {cache}; mkdir -p ~/.cache && ln -s /mnt/small {cache}")
    records = tmp_path / "records.jsonl"
    try:
        process = start_tune(tunable_model, records, *on(virtual_pi, "rpi4"), *FEW)
        assert_refused(process, RunFailedError.exit_code, virtual_pi.host, "full")
    finally:
        virtual_pi.run(f"rm -rf {cache} /mnt/small/*")
    assert read_lines(records) == []


def test_power_lost(doomed_virtual_pi: VirtualPi, tunable_model: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    process = start_tune(tunable_model, records, *on(doomed_virtual_pi, "rpi4"), *MANY)
    wait_until(lambda: doomed_virtual_pi.run("pgrep -x measure_kernels", check=False))
    doomed_virtual_pi.switch_off_and_on()
    assert_refused(process, RunFailedError.exit_code, doomed_virtual_pi.host, "lost")
    doomed_virtual_pi.wait_until_up()
    tune(tunable_model, records, *on(doomed_virtual_pi, "rpi4"), *FEW)
    assert len(candidates(records)) == len(set(candidates(records))) > 0
