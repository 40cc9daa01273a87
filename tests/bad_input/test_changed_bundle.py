"""A bundle that was changed after it was built: exit code 4, before connecting."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bitat_deploy.errors import BundleError
from tests.bench_command import bench
from tests.ssh_devices import LocalSshd, SshDevice, free_port

EXIT_CODE = BundleError.exit_code


@pytest.fixture
def bundle(host_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(host_bundle, tmp_path / "bundle"))


@pytest.fixture
def nobody(local_sshd: LocalSshd) -> SshDevice:
    """A device that is not there: it must not be asked."""
    return replace(local_sshd, host=f"pi@127.0.0.1:{free_port()}")


def test_one_bit_changed(bundle: Path, nobody: SshDevice, tmp_path: Path) -> None:
    model = bundle / "model.so"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    bench(bundle, nobody, tmp_path / "report.json").assert_refused(EXIT_CODE, "model.so")


def test_file_removed(bundle: Path, nobody: SshDevice, tmp_path: Path) -> None:
    (bundle / "runner").unlink()
    bench(bundle, nobody, tmp_path / "report.json").assert_refused(EXIT_CODE, "runner")


def test_manifest_cut_short(bundle: Path, nobody: SshDevice, tmp_path: Path) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text()[:-20])
    bench(bundle, nobody, tmp_path / "report.json").assert_refused(EXIT_CODE, "manifest.json")


def test_manifest_of_another_version(bundle: Path, nobody: SshDevice, tmp_path: Path) -> None:
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_text())
    document["schema_version"] += 1
    manifest.write_text(json.dumps(document))
    bench(bundle, nobody, tmp_path / "report.json").assert_refused(EXIT_CODE, "version")
