"""A bench on a device whose power supply fails during the run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench_command import bench
from tests.ssh_devices import LocalSshd

REASON = "under-voltage, throttled during the run"


@pytest.fixture
def weak_device(local_sshd: LocalSshd, tmp_path: Path) -> Iterator[LocalSshd]:
    vcgencmd, seen = local_sshd.programs / "vcgencmd", tmp_path / "seen"
    vcgencmd.write_text(
        f"#!/bin/sh\n[ -e {seen} ] && echo throttled=0x50005 || echo throttled=0x0\n: > {seen}\n"
    )
    vcgencmd.chmod(0o755)
    yield local_sshd
    vcgencmd.unlink()


def test_under_voltage_during_the_run(
    weak_device: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    finished = bench(host_bundle, weak_device, tmp_path / "report.json", "--min-seconds", "0")
    report = finished.json()
    assert REASON in report["not_trustworthy"]
    throttled = [report[f"health_{when}"]["throttled"] for when in ("before", "after")]
    assert throttled == [0, 0x50005]
    assert "NOT TRUSTWORTHY" in finished.stdout and REASON in finished.stdout
