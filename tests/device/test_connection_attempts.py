"""A device that is still starting is waited for, where the ssh configuration says so."""

import socket
import threading
import time
from pathlib import Path

import pytest

from bitat_deploy.device.ssh import open_socket
from bitat_deploy.device.ssh_settings import SshSettings, read_settings
from bitat_deploy.errors import InputError
from tests.ssh_devices import free_port


def settings_with(attempts: str, tmp_path: Path, port: int) -> SshSettings:
    config = tmp_path / "ssh_config"
    config.write_text(f"Host *\n  ConnectionAttempts {attempts}\n")
    return read_settings(f"pi@127.0.0.1:{port}", config)


def test_tried_again(tmp_path: Path) -> None:
    port = free_port()
    done = threading.Event()

    def listen_late() -> None:
        time.sleep(0.5)
        with socket.create_server(("127.0.0.1", port)):
            done.wait(10)

    listener = threading.Thread(target=listen_late)
    listener.start()
    try:
        open_socket(settings_with("5", tmp_path, port)).close()
    finally:
        done.set()
        listener.join()


def test_once_unless_configured(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused"):
        open_socket(settings_with("1", tmp_path, free_port()))


def test_no_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="malformed"):
        settings_with("often", tmp_path, 22)
