"""Two benches at once on one device, even while its clock jumps."""

import os
import time
from pathlib import Path

from tests.bench_command import bench, finish, start_bench
from tests.ssh_devices import LocalSshd, processes_in

MONTHS = 100 * 24 * 3600


def test_two_at_once(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    cache = local_sshd.home / ".cache" / "bitat-deploy"
    for file in cache.glob("objects/*"):
        file.unlink()
    reports = [tmp_path / "first.json", tmp_path / "second.json"]
    processes = [start_bench(host_bundle, local_sshd, report) for report in reports]
    documents = [
        finish(process, report).json() for process, report in zip(processes, reports, strict=True)
    ]
    assert all(document["accuracy"]["logits_equal"] for document in documents)
    assert list(cache.glob("runs/*")) + list(cache.glob("objects/.incoming-*")) == []


def test_clock_jumps_ahead(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    # The clock of the machine that runs the tests is not ours to step: what counts for the
    # device's tidying up is that all files look old, and for the rest what its "date" says.
    report = tmp_path / "report.json"
    process = start_bench(host_bundle, local_sshd, report, "--min-seconds", "8")
    wait_for_runner(local_sshd)
    cache = local_sshd.home / ".cache" / "bitat-deploy"
    for path in [*cache.rglob("*"), cache]:
        os.utime(path, (time.time() - MONTHS,) * 2)
    date = local_sshd.programs / "date"
    date.write_text('#!/bin/sh\nexec /bin/date -d "+100 days" "$@"\n')
    date.chmod(0o755)
    try:
        second = bench(host_bundle, local_sshd, tmp_path / "second.json").json()
        first = finish(process, report).json()
    finally:
        date.unlink()
    for document in (first, second):
        assert document["accuracy"]["logits_equal"] is True
        assert 0 < document["latency_ms"]["p50"] < 1000


def test_old_run_folder_is_cleared_away(
    local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    left = local_sshd.home / ".cache" / "bitat-deploy" / "runs" / "left by a lost connection"
    left.mkdir(parents=True)
    os.utime(left, (time.time() - MONTHS,) * 2)
    bench(host_bundle, local_sshd, tmp_path / "report.json").json()
    assert not left.exists()


def wait_for_runner(device: LocalSshd) -> None:
    deadline = time.monotonic() + 60
    while not processes_in(device.home / ".cache"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
