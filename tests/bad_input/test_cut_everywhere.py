"""The connection is cut after N bytes, for N throughout a bench."""

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.errors import BitatDeployError, ConnectionFailedError, RunFailedError
from tests.fragile_link import fragile
from tests.ssh_devices import LocalSshd, SshDevice, processes_in

# Bytes from the beginning, or, negative, before the end: in the middle there is only the push.
IN_THE_LOGIN = dict.fromkeys((1, 900, 2_300, 4_500), "broke off")
LATER = dict.fromkeys((8_000, 4_000_000, -14_000, -9_000, -4_000), "lost")


@pytest.fixture(scope="module")
def length(sshd: LocalSshd, host_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many bytes a bench takes that has to push everything."""
    shutil.rmtree(sshd.home / ".cache", ignore_errors=True)
    folder = tmp_path_factory.mktemp("whole")
    with fragile(sshd, folder) as (device, link):
        assert_right(run_bench(device, host_bundle, folder / "report.json"), folder / "report.json")
    return link.passed


@pytest.mark.parametrize(("point", "words"), (IN_THE_LOGIN | LATER).items())
def test_cut(
    point: int, words: str, length: int, local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    objects = local_sshd.home / ".cache" / "bitat-deploy" / "objects"
    shutil.rmtree(objects, ignore_errors=True)
    report = tmp_path / "report.json"
    with fragile(local_sshd, tmp_path, point % length) as (device, _):
        result = run_bench(device, host_bundle, report)
    error = result.exception
    assert isinstance(error, BitatDeployError), result.exc_info
    assert type(error) is (ConnectionFailedError if point in IN_THE_LOGIN else RunFailedError)
    assert device.host in str(error) and words in str(error)
    assert not report.exists()

    deadline = time.monotonic() + 20
    while processes_in(local_sshd.home):
        assert time.monotonic() < deadline, "something still runs there"
        time.sleep(0.05)
    for file in objects.glob("*"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    assert not list(objects.glob(".incoming-*"))

    assert_right(run_bench(local_sshd, host_bundle, report), report)


def run_bench(device: SshDevice, bundle: Path, report: Path) -> Result:
    arguments = ["bench", str(bundle), "--host", device.host, "-F", str(device.ssh_config)]
    arguments += ["--json", str(report), "--images", "100", "--min-seconds", "0"]
    return CliRunner().invoke(cli, arguments)


def assert_right(result: Result, report: Path) -> None:
    assert result.exit_code == 0, result.exc_info
    assert json.loads(report.read_text())["accuracy"]["logits_equal"] is True
