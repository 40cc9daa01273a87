"""Pushing, here and over real SSH."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitat_deploy.device import Connection, connect
from bitat_deploy.device.push import PushFile, push_file, pushed
from bitat_deploy.errors import RunFailedError


@pytest.fixture(params=["local", "ssh"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "local":
        opened = connect("local")
    else:
        device = request.getfixturevalue("local_sshd")
        opened = connect(device.host, device.ssh_config)
    with opened:
        yield opened


def file(path: Path, content: bytes, place: str, *, executable: bool = False) -> PushFile:
    path.write_bytes(content)
    return push_file(path, place, executable=executable)


@pytest.fixture
def files(tmp_path: Path) -> list[PushFile]:
    script = b"#!/bin/sh\ncat 'lib/a b'\n"
    return [
        file(tmp_path / "1", b"x" * 300_000, "lib/a b"),
        file(tmp_path / "2", script, "run", executable=True),
        file(tmp_path / "3", script, "same", executable=True),
    ]


def test_each_content_travels_once(
    connection: Connection, files: list[PushFile], tmp_path: Path
) -> None:
    cache = tmp_path / "cache's"
    with pushed(connection, str(cache), "identity", files) as first:
        assert first.bytes_sent == files[0].size + files[1].size
        assert first.run(["./run"]).stdout == b"x" * 300_000
        first.write("images", files[1].source)
        assert first.read("images", 1000).stdout == files[1].source.read_bytes()
    assert not Path(first.path).exists()
    with pushed(connection, str(cache), "identity", files) as second:
        assert second.bytes_sent == 0
        assert Path(second.path, "same").read_bytes() == files[2].source.read_bytes()
    objects = sorted(path.name for path in (cache / "bitat-deploy" / "objects").iterdir())
    assert objects == sorted({file.sha256 for file in files})


def test_damaged_object_is_sent_again(
    connection: Connection, files: list[PushFile], tmp_path: Path
) -> None:
    with pushed(connection, str(tmp_path), "identity", files):
        pass
    (tmp_path / "bitat-deploy" / "objects" / files[0].sha256).write_bytes(b"damaged")
    with pushed(connection, str(tmp_path), "identity", files) as again:
        assert again.bytes_sent == files[0].size


def test_wrong_content_is_not_kept(
    connection: Connection, files: list[PushFile], tmp_path: Path
) -> None:
    files[0].source.write_bytes(b"changed since its checksum was taken")
    with (
        pytest.raises(RunFailedError, match="'lib/a b' could not be stored"),
        pushed(connection, str(tmp_path), "identity", files),
    ):
        pass
    assert list((tmp_path / "bitat-deploy" / "objects").iterdir()) == []


def test_run_folder_goes_after_an_error(
    connection: Connection, files: list[PushFile], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt), pushed(connection, str(tmp_path), "identity", files):
        raise KeyboardInterrupt
    assert list((tmp_path / "bitat-deploy" / "runs").iterdir()) == []
