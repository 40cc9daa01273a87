"""Cleaning, here and over real SSH: what we left goes, and nothing else."""

import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bitat_deploy.cli.main import cli
from bitat_deploy.device import connect
from bitat_deploy.device.clean import clean_device
from bitat_deploy.device.push import PushFile, pushed
from bitat_deploy.errors import RunFailedError
from tests.ssh_devices import LocalSshd

SHA256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"


@pytest.fixture
def cache(local_sshd: LocalSshd, tmp_path: Path) -> Path:
    """The device's cache folder, with things of others in it and nothing of earlier tests."""
    cache = local_sshd.home / ".cache" / "bitat-deploy"
    shutil.rmtree(cache, ignore_errors=True)
    (cache / "datasets").mkdir(parents=True)
    (cache / "datasets" / "objects").write_text("not ours to remove")
    return cache


def clean(device: LocalSshd, *options: str) -> Result:
    arguments = ["clean", "--host", device.host, "-F", str(device.ssh_config), *options]
    return CliRunner().invoke(cli, arguments)


def push_file(folder: Path) -> PushFile:
    (folder / "file").write_text("x")
    return PushFile(folder / "file", "file", SHA256, 1)


def test_removes_what_was_pushed_and_counts_it_once(
    local_sshd: LocalSshd, cache: Path, tmp_path: Path
) -> None:
    file = push_file(tmp_path)
    clean(local_sshd)
    with (
        connect(local_sshd.host, local_sshd.ssh_config) as connection,
        pushed(connection, str(cache.parent), "identity", [file]) as run,
    ):
        refused = clean(local_sshd)
        assert isinstance(refused.exception, RunFailedError)
        assert "under way" in str(refused.exception)
        assert Path(run.path, "file").is_file()
        # Its file is linked from objects: one byte, not two.
        assert "1 bytes removed" in clean(local_sshd, "--force").output
    assert [path.name for path in cache.iterdir()] == ["datasets"]
    assert (cache / "datasets" / "objects").is_file()
    assert "Nothing was there" in clean(local_sshd).output


def test_what_a_lost_connection_left_goes_after_an_hour(local_sshd: LocalSshd, cache: Path) -> None:
    (cache / "objects").mkdir()
    (cache / "objects" / ".incoming-1").write_text("half")
    (cache / "runs" / "broken-off").mkdir(parents=True)
    assert isinstance(clean(local_sshd).exception, RunFailedError)
    earlier = time.time() - 4000
    for path in (cache / "runs" / "broken-off", cache / "objects" / ".incoming-1"):
        os.utime(path, (earlier, earlier))
    assert clean(local_sshd).exit_code == 0
    assert not (cache / "runs").exists() and not (cache / "objects").exists()


def test_a_long_run_is_seen_by_its_process(local_sshd: LocalSshd, cache: Path) -> None:
    run = cache / "runs" / "long"
    run.mkdir(parents=True)
    earlier = time.time() - 4000
    os.utime(run, (earlier, earlier))
    started = f"cd '{run}' && (sleep 60 > /dev/null 2>&1 & echo $!)"
    process = int(local_sshd.run(started))
    try:
        assert isinstance(clean(local_sshd).exception, RunFailedError)
    finally:
        os.kill(process, 9)
    assert run.exists()
    assert clean(local_sshd, "--force").exit_code == 0


def test_links_are_removed_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    (tmp_path / "bitat-deploy").mkdir()
    (tmp_path / "bitat-deploy" / "objects").symlink_to(tmp_path / "precious")
    with connect("local") as connection:
        assert clean_device(connection) == 0
    assert (tmp_path / "precious" / "file").is_file()
    assert not (tmp_path / "bitat-deploy").exists()
