"""A board with dropbear and busybox, as Buildroot and OpenWrt have them: ARM code, in qemu."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bitat_deploy.cli.main import cli
from bitat_deploy.device import connect, inspect_device
from tests.bench_command import bench
from tests.ssh_devices import VirtualPi, dropbear_on_pi


@pytest.mark.virtual_pi
def test_bench_over_dropbear_with_busybox(
    virtual_pi: VirtualPi, rpi4_bundle: Path, tmp_path: Path
) -> None:
    elsewhere = ("--device-folder", "/home/pi/small")
    with dropbear_on_pi(virtual_pi, tmp_path) as device:
        assert device.run("command -v getconf ldd python3", check=False) == ""
        with connect(device.host, device.ssh_config) as connection:
            found = inspect_device(connection)
        assert (found.arch, found.glibc, found.emulated) == ("aarch64", "2.36", True)
        assert found.cores == int(device.run("nproc"))
        report = tmp_path / "report.json"
        finished = bench(rpi4_bundle, device, report, "--images", "20", *elsewhere)
        assert finished.json()["accuracy"]["logits_equal"]
        arguments = ["--host", device.host, "-F", str(device.ssh_config), *elsewhere]
        cleaned = CliRunner().invoke(cli, ["clean", *arguments])
        assert "bytes removed" in cleaned.output, cleaned.output
        assert device.run("ls -A small/bitat-deploy", check=False) == ""
