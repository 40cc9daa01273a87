"""Host names and ssh configuration."""

from pathlib import Path

import pytest

from bitat_deploy.device.ssh_settings import read_settings
from bitat_deploy.errors import InputError


def settings_of(host: str, text: str, folder: Path):
    config = folder / "config"
    config.write_text(text)
    return read_settings(host, config)


def test_what_is_typed_comes_first(tmp_path: Path) -> None:
    text = "Host board\n HostName 10.0.0.7\n User someone\n Port 2200\n"
    settings = settings_of("pi@board:2222", text, tmp_path)
    assert (settings.host, settings.port, settings.user) == ("10.0.0.7", 2222, "pi")
    assert settings.known_as == "[10.0.0.7]:2222"
    settings = settings_of("board", text, tmp_path)
    assert (settings.host, settings.port, settings.user) == ("10.0.0.7", 2200, "someone")
    assert settings_of("pi@other", text, tmp_path).known_as == "other"


def test_address_in_brackets(tmp_path: Path) -> None:
    settings = settings_of("pi@[fe80::1%eth0]:23", "", tmp_path)
    assert (settings.host, settings.port) == ("fe80::1%eth0", 23)


def test_keys(tmp_path: Path) -> None:
    text = (
        "Host *\n IdentityFile ~/a\n IdentityFile /b\n IdentitiesOnly yes\n"
        ' UserKnownHostsFile /x "/y z"\n GlobalKnownHostsFile /g\n ConnectTimeout 3\n'
    )
    settings = settings_of("pi@board", text, tmp_path)
    assert settings.identities == (Path("~/a").expanduser(), Path("/b"))
    assert settings.identities_only
    assert settings.known_hosts == (Path("/g"), Path("/x"), Path("/y z"))
    assert settings.timeout == 3


def test_included_files(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("Host board\n HostName 10.0.0.8\n")
    (tmp_path / "two.conf").write_text("Host other\n HostName 10.0.0.9\n")
    text = f"Host b*\n User pi\n Include {tmp_path}/*.conf\n Port 2200\n"
    settings = settings_of("board", text, tmp_path)
    assert (settings.host, settings.user, settings.port) == ("10.0.0.8", "pi", 2200)
    assert settings_of("other", text, tmp_path).port == 22
    text = f"Include {tmp_path}/config\n"  # includes itself
    assert settings_of("board", text, tmp_path).host == "board"


def test_proxies(tmp_path: Path) -> None:
    proxy = settings_of("pi@board:23", "Host *\n ProxyCommand nc %h %p\n", tmp_path).proxy_command
    assert proxy == "nc board 23"
    jump = settings_of("pi@board", "Host *\n ProxyJump a,b\n", tmp_path).proxy_command
    assert jump == f"ssh -F {tmp_path / 'config'} -J a -W '[board]:22' b"


@pytest.mark.parametrize(
    "host", ["", "pi@", "@host", "pi@host:", "pi@host:0", "pi@host:65536", "-oX", "a b", "a@b@c"]
)
def test_malformed_host(host: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        settings_of(host, "", tmp_path)


def test_missing_or_malformed_configuration(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ssh configuration file"):
        read_settings("pi@board", tmp_path / "nowhere")
    with pytest.raises(InputError, match="malformed"):
        settings_of("pi@board", "???\n", tmp_path)
    with pytest.raises(InputError, match="malformed"):
        settings_of("pi@board", "Port many\n", tmp_path)


def test_signs_of_life(tmp_path: Path) -> None:
    def pair(text: str) -> tuple[float, float]:
        settings = settings_of("pi@board", text, tmp_path)
        return settings.keep_alive, settings.silence

    assert pair("") == (10, 30)
    assert pair("Host *\n ServerAliveInterval 4\n ServerAliveCountMax 5\n") == (4, 20)
    assert pair("Host *\n ServerAliveInterval 0\n") == (10, 30)
    with pytest.raises(InputError, match="greater than 0"):
        pair("Host *\n ServerAliveCountMax 0\n")
