"""A slow link that loses packets makes a bench slower, and nothing else."""

from pathlib import Path

from tests.bench_command import bench
from tests.fragile_link import fragile
from tests.slow_link import slow_link
from tests.ssh_devices import LocalSshd


def test_slow_and_lossy_link(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    for file in local_sshd.home.glob(".cache/bitat-deploy/objects/*"):
        file.unlink()
    with (
        slow_link(delay=0.03, loss=0.01, bytes_per_second=2_000_000) as link,
        fragile(local_sshd, tmp_path, address=link.address) as (device, _),
    ):
        report = tmp_path / "report.json"
        document = bench(host_bundle, device, report, enter=link.enter).json()
    assert link.lost
    assert document["size"]["pushed_bytes"] > 1_000_000
    assert document["accuracy"]["logits_equal"] is True
