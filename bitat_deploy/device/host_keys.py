"""Host keys that known_hosts does not know: refused, or, where the user asked for it, added."""

import os
from collections.abc import Callable

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from bitat_deploy.device.ssh_settings import SshSettings
from bitat_deploy.errors import ConnectionFailedError

_MARK = "@"  # begins lines with a certificate authority or a revoked key

# Told in one sentence which key was accepted, and where it was written.
OnNewHostKey = Callable[[str], None]


class RefuseUnknownHost(paramiko.MissingHostKeyPolicy):
    """As ssh with StrictHostKeyChecking=yes."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Raise ConnectionFailedError."""
        settings = self._settings
        port = "" if settings.port == 22 else f"-p {settings.port} "
        raise ConnectionFailedError(
            f"the host key of '{settings.name}' is not known ({key.get_name()} {key.fingerprint}); "
            f"log in once with 'ssh {port}{settings.user}@{settings.host}', compare the "
            "fingerprint with the device's own, and accept it there, or use --accept-new-host-key"
        )


class AcceptNewHost(paramiko.MissingHostKeyPolicy):
    """As ssh with StrictHostKeyChecking=accept-new.

    paramiko asks only where no key at all is known for the host; any other key it refuses itself.
    """

    def __init__(self, settings: SshSettings, on_new_host_key: OnNewHostKey) -> None:
        self._settings = settings
        self._on_new_host_key = on_new_host_key

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Add the key to known_hosts. Raises ConnectionFailedError."""
        settings = self._settings
        if _is_revoked(settings, key):
            raise ConnectionFailedError(
                f"the host key of '{settings.name}' is marked as revoked in known_hosts "
                f"({key.get_name()} {key.fingerprint}); somebody may be in between: give the "
                "device a new key"
            )
        where = _remember(settings, key)
        self._on_new_host_key(
            f"The host key of '{settings.name}' was not known and is now trusted: "
            f"{key.get_name()} {key.fingerprint}, {where}."
        )


def load_known_hosts(settings: SshSettings, keys: paramiko.HostKeys) -> None:
    """Add to ``keys`` what known_hosts knows; paramiko's own reading fails at marked lines."""
    for line in _lines(settings):
        try:
            entry = HostKeyEntry.from_line(line) if not line.startswith(_MARK) else None
        except (InvalidHostKey, paramiko.SSHException):
            continue  # as ssh does
        if entry is not None and entry.key is not None and not _is_revoked(settings, entry.key):
            for name in entry.hostnames or ():
                keys.add(name, entry.key.get_name(), entry.key)


def _is_revoked(settings: SshSettings, key: paramiko.PKey) -> bool:
    """Whether the key is marked as revoked, for whatever host."""
    marked = (line.split() for line in _lines(settings) if line.startswith(f"{_MARK}revoked"))
    return any(key.get_base64() in words for words in marked)


def _lines(settings: SshSettings) -> list[str]:
    """All lines of the files of known hosts, without comments."""
    files = [path for path in settings.known_hosts if path.is_file()]
    lines = (line for path in files for line in path.read_text(errors="replace").splitlines())
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _remember(settings: SshSettings, key: paramiko.PKey) -> str:
    """Add the key to the user's known_hosts; what is to be told of that."""
    path = settings.user_known_hosts
    if path is None:
        return "for this time only (UserKnownHostsFile is none)"
    hashed = settings.hash_known_hosts
    name = paramiko.HostKeys.hash_host(settings.known_as) if hashed else settings.known_as
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            broken_off = path.is_file() and not file.read().endswith(b"\n") and file.tell() > 0
            line = f"{name} {key.get_name()} {key.get_base64()}\n"
            file.write(("\n" * broken_off + line).encode())
    except OSError as error:
        raise ConnectionFailedError(
            f"the host key of '{settings.name}' cannot be added to '{path}': {error.strerror}"
        ) from error
    return f"added to '{path}'"
