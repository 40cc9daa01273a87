"""A device with dropbear and busybox, as many small systems have them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitat_deploy.device import Connection, Limit, connect
from bitat_deploy.device.clean import clean_device
from bitat_deploy.device.health import read_health
from bitat_deploy.device.inspect import inspect_device
from bitat_deploy.device.push import push_file, pushed
from bitat_deploy.errors import RunFailedError
from tests.ssh_devices import SshDevice, local_dropbear


@pytest.fixture(scope="module")
def dropbear() -> Iterator[SshDevice]:
    with (
        tempfile.TemporaryDirectory(prefix="dropbear-") as state,
        local_dropbear(Path(state)) as device,
    ):
        yield device


@pytest.fixture(params=["openssh", "paramiko"])
def connection(dropbear: SshDevice, request: pytest.FixtureRequest) -> Iterator[Connection]:
    with connect(dropbear.host, dropbear.ssh_config, transport=request.param) as opened:
        yield opened


def test_pushed_run_and_cleaned(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"#!/bin/sh\ncat data\n")
    (tmp_path / "data").write_bytes(bytes(range(256)) * 10_000)
    device = inspect_device(connection)
    assert device.memory_bytes > 0 and not device.write_refusal
    read_health(connection)
    files = [
        push_file(tmp_path / "program", "program", executable=True),
        push_file(tmp_path / "data", "data"),
    ]
    with pushed(connection, device.cache, "identity", files) as folder:
        answer = folder.run(["./program"], limit=Limit(bytes=3_000_000))
        assert answer.stdout == (tmp_path / "data").read_bytes()
    with pushed(connection, device.cache, "identity", files) as folder:
        assert folder.bytes_sent == 0
    assert clean_device(connection, force=True) > 2_000_000


def test_what_goes_wrong(connection: Connection) -> None:
    assert connection.run(["sh", "-c", "echo why >&2; exit 9"]).last_error == "why"
    with pytest.raises(RunFailedError, match="more than the 1,000 bytes"):
        connection.run(["cat", "/dev/zero"], limit=Limit(bytes=1000))
    assert connection.run(["true"]).exit_code == 0
