"""The two commands of the README: from the zoo's network to measurements on the virtual Pi."""

import subprocess
from pathlib import Path

import pytest

from tests.bench_command import COMMAND, bench
from tests.ssh_devices import VirtualPi

pytestmark = pytest.mark.virtual_pi


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("zoo") / "bundle"
    subprocess.run([COMMAND, "build", "--target", "rpi4", "-o", str(bundle)], check=True)
    return bundle


def test_numbers_come_off_the_device(virtual_pi: VirtualPi, bundle: Path, tmp_path: Path) -> None:
    virtual_pi.run("rm -rf ~/.cache/bitat-deploy")
    finished = bench(bundle, virtual_pi, tmp_path / "first.json")
    first = finished.json()
    assert "EMULATED" in finished.stdout
    assert first["device"]["arch"] == "aarch64"
    assert first["device"]["emulated"] is True
    assert first["accuracy"]["images"] == 200
    assert first["accuracy"]["differing_from_reference"] == 0
    assert first["accuracy"]["top1"] > 0.8
    assert first["latency_ms"]["runs"] >= 50
    assert 0 < first["latency_ms"]["min"] <= first["latency_ms"]["p50"]
    assert first["size"]["pushed_bytes"] > first["size"]["model_bytes"] > 0

    # Everything is there already, and the next run says the same.
    second = bench(bundle, virtual_pi, tmp_path / "second.json").json()
    assert second["size"]["pushed_bytes"] == 0
    assert second["accuracy"] == first["accuracy"]

    # Runs leave nothing behind but what the next push would need.
    assert virtual_pi.run("cd ~/.cache/bitat-deploy && ls -A runs") == ""


def test_damaged_object_is_pushed_again(
    virtual_pi: VirtualPi, bundle: Path, tmp_path: Path
) -> None:
    bench(bundle, virtual_pi, tmp_path / "first.json").json()
    objects = "~/.cache/bitat-deploy/objects"
    virtual_pi.run(f"cd {objects} && echo damage >> $(ls -S | head -n 1)")
    report = bench(bundle, virtual_pi, tmp_path / "second.json").json()
    assert report["size"]["pushed_bytes"] > 1_000_000
    assert report["accuracy"]["differing_from_reference"] == 0


def test_32_bit_system(virtual_pi_32_bit: VirtualPi, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    subprocess.run([COMMAND, "build", "--target", "rpi-32bit", "-o", str(bundle)], check=True)
    report = bench(bundle, virtual_pi_32_bit, tmp_path / "report.json").json()
    assert report["device"]["arch"] == "armv7l"
    assert report["accuracy"]["differing_from_reference"] == 0
    assert report["size"]["bundle_bytes"] < 2_000_000
