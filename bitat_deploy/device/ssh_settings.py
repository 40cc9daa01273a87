"""How to reach a device by SSH: what the user typed, completed by their ssh configuration."""

import getpass
import glob
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from bitat_deploy.errors import InputError

_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.$-]*)@)?"
    r"(?:(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_USER_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_DEFAULT_TIMEOUT = 15.0
_DEFAULT_KEEP_ALIVE, _DEFAULT_UNANSWERED = 10.0, 3  # seconds, and as in ssh
_MOST_INCLUDES = 16  # within one another, as in ssh


@dataclass(frozen=True)
class SshSettings:
    """Where to connect, as whom, and which keys to trust and to offer.

    ``name`` is what the user typed, ``host`` what that stands for. ``timeout`` is in seconds, for
    the connection and each step of the login; a connection is tried ``attempts`` times, a second
    apart; ``keep_alive`` are the seconds between two requests
    for a sign of life, and after ``silence`` seconds without any the device counts as lost;
    ``user_known_hosts`` is where a new key is added, None for nowhere,
    under a hashed name if ``hash_known_hosts``;
    ``proxy_command`` is a command whose standard input and output lead to the device.
    """

    name: str
    host: str
    port: int
    user: str
    known_hosts: tuple[Path, ...]
    user_known_hosts: Path | None
    hash_known_hosts: bool
    identities: tuple[Path, ...]
    identities_only: bool
    timeout: float
    attempts: int
    keep_alive: float
    silence: float
    proxy_command: str | None

    @property
    def known_as(self) -> str:
        """The device's name in known_hosts."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def read_settings(host: str, config_file: Path | None) -> SshSettings:
    """Complete ``host``, ``[user@]name[:port]``, by ``config_file`` or else the user's own.

    Raises InputError for a malformed host and for a missing or malformed configuration.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        raise InputError(
            f"'{host}' is not 'local' and not of the form user@host or user@host:port "
            "(an IPv6 address goes in square brackets)"
        )
    name: str = match["name"] or match["address"]
    options = _options(name, match["port"], match["user"], config_file)
    try:
        port = int(options.get("port", 22))
        timeout = float(options.get("connecttimeout", _DEFAULT_TIMEOUT))
        attempts = int(options.get("connectionattempts", 1))
        # Zero is "never" in ssh, but a bench is not to hang.
        keep_alive = float(options.get("serveraliveinterval", 0)) or _DEFAULT_KEEP_ALIVE
        silence = keep_alive * int(options.get("serveralivecountmax", _DEFAULT_UNANSWERED))
    except ValueError as error:
        raise InputError(f"the ssh configuration of '{name}' is malformed: {error}") from error
    if not 0 < port < 65536:
        raise InputError(f"'{host}' has a port that is not between 1 and 65535")
    if not (timeout > 0 and attempts > 0 and keep_alive > 0 and silence > 0):
        raise InputError(
            f"the ssh configuration of '{name}' has a ConnectTimeout, ConnectionAttempts, "
            "ServerAliveInterval or ServerAliveCountMax that is not greater than 0"
        )
    resolved = str(options.get("hostname", name)).lower()
    known_hosts = options.get("globalknownhostsfile", _SYSTEM_KNOWN_HOSTS)
    user_known_hosts = options.get("userknownhostsfile", _USER_KNOWN_HOSTS)
    known_hosts += " " + user_known_hosts
    return SshSettings(
        name=host,
        host=resolved,
        port=port,
        user=options.get("user", getpass.getuser()),
        known_hosts=tuple(Path(path).expanduser() for path in shlex.split(known_hosts)),
        user_known_hosts=_first_path(user_known_hosts),
        hash_known_hosts=options.get("hashknownhosts", "no").lower() == "yes",
        identities=tuple(Path(path).expanduser() for path in options.get("identityfile", [])),
        identities_only=options.get("identitiesonly", "no").lower() == "yes",
        timeout=timeout,
        attempts=attempts,
        keep_alive=keep_alive,
        silence=silence,
        proxy_command=_proxy_command(options, resolved, port, config_file),
    )


def _first_path(text: str) -> Path | None:
    first = shlex.split(text)[0]
    return None if first.lower() == "none" else Path(first).expanduser()


def _options(
    name: str, port: str | None, user: str | None, config_file: Path | None
) -> dict[str, Any]:
    if config_file is not None and not config_file.is_file():
        raise InputError(f"there is no ssh configuration file '{config_file}'")
    files = [config_file] if config_file else [Path("~/.ssh/config"), Path("/etc/ssh/ssh_config")]
    # The first value found counts: what was typed, then the user's file, then the system's.
    texts = [f"Port {port}" if port else "", f"User {user}" if user else ""]
    for file in files:
        path = file.expanduser()
        try:
            texts.append(_with_includes(path) if path.is_file() else "")
        except (OSError, ValueError) as error:
            raise InputError(f"the ssh configuration '{path}' cannot be read: {error}") from error
    try:
        return dict(paramiko.SSHConfig.from_text("\nHost *\n".join(texts)).lookup(name))
    except (paramiko.SSHException, ImportError) as error:
        raise InputError(f"the ssh configuration '{files[0]}' is malformed: {error}") from error


def _with_includes(path: Path, depth: int = 0) -> str:
    """Text of a configuration file, with the files it includes, which paramiko leaves out."""
    block, lines = "Host *", []
    for line in path.read_text().splitlines():
        keyword, *arguments = line.replace("=", " ", 1).split(maxsplit=1) or [""]
        if keyword.lower() != "include":
            block = line if keyword.lower() in ("host", "match") else block
            lines.append(line)
            continue
        for pattern in shlex.split("".join(arguments)) if depth < _MOST_INCLUDES else []:
            # Relative to ~/.ssh, or to /etc/ssh in the system's file.
            base = path.parent if path.is_relative_to("/etc/ssh") else Path("~/.ssh").expanduser()
            pathname = str(base / Path(pattern).expanduser())
            for found in sorted(glob.glob(pathname)):  # noqa: PTH207  # may be absolute
                lines.append(_with_includes(Path(found), depth + 1))
        lines.append(block)  # what follows belongs to it again
    return "\n".join(lines)


def _proxy_command(
    options: dict[str, Any], host: str, port: int, config_file: Path | None
) -> str | None:
    if options.get("proxycommand"):
        return str(options["proxycommand"])
    jump = options.get("proxyjump")
    if not jump or jump.lower() == "none":
        return None
    command = ["ssh", *(["-F", str(config_file)] if config_file else [])]
    *before, last = jump.split(",")
    command += ["-J", ",".join(before)] if before else []
    return shlex.join([*command, "-W", f"[{host}]:{port}", last])
