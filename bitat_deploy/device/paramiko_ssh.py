"""A device behind SSH, by the library paramiko, for machines without the program ``ssh``.

It knows a small part of what OpenSSH knows. A configuration that asks for more is refused, lest we
log in where ssh would not.
"""

import contextlib
import getpass
import glob
import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.hostkeys import InvalidHostKey

from bitat_deploy.device.answer import Answer
from bitat_deploy.device.connection import USUAL, Limit, LineSink, OnNewHostKey, Result
from bitat_deploy.device.login import PARAMIKO, Address, Destination, failure_kind
from bitat_deploy.device.login_shell import LOST, for_login_shell
from bitat_deploy.errors import ConnectionFailedError, InputError, RunFailedError

_USED = """
hostname port user identityfile identitiesonly connecttimeout serveraliveinterval
serveralivecountmax userknownhostsfile globalknownhostsfile stricthostkeychecking
"""
# Of no consequence for where, as whom and whether to log in.
_IGNORED = """
addkeystoagent batchmode clearallforwardings compression controlmaster controlpath controlpersist
dynamicforward escapechar exitonforwardfailure forwardagent forwardx11 forwardx11trusted
gssapiauthentication gssapidelegatecredentials include ipqos localforward loglevel
numberofpasswordprompts passwordauthentication permitlocalcommand remoteforward requesttty sendenv
setenv tcpkeepalive updatehostkeys visualhostkey
"""
_KNOWN = frozenset((_USED + _IGNORED).split())
_USER_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_TIMEOUT, _KEEP_ALIVE, _UNANSWERED = 15.0, 10.0, 3
_TICK = 0.25  # seconds
_BLOCK = 1 << 16

# Its transport thread logs tracebacks of what we report as one sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class _Settings:
    destination: Destination
    identities: tuple[str, ...]
    identities_only: bool
    known_hosts: tuple[Path, ...]  # a new key goes to the first
    timeout: float
    keep_alive: float
    silence: float


class ParamikoConnection:
    """An open connection of paramiko's. Host keys are checked against known_hosts."""

    def __init__(
        self,
        address: Address,
        config: Path | None = None,
        on_new_host_key: OnNewHostKey | None = None,
    ) -> None:
        """Connect and log in, with keys only.

        Raises InputError where the configuration asks for more than we know, ConnectionFailedError.
        """
        self.name = address.typed
        self.folder = ""
        settings = _settings(address, config)
        self._destination = settings.destination
        self._silence, self._quiet = settings.silence, 0.0
        self._running: paramiko.Channel | None = None
        self._interrupted: paramiko.Channel | None = None
        self._closing = threading.Event()
        self._client = paramiko.SSHClient()
        try:
            _log_in(self._client, settings, on_new_host_key)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self._client.close()
            said = f"{type(error).__name__}: {error}"
            if isinstance(error.__context__, EOFError):
                said = "EOFError: the connection was closed"
            raise settings.destination.failure(*failure_kind(said, PARAMIKO)) from error
        except BaseException:
            self._client.close()
            raise
        transport = self._client.get_transport()
        assert transport is not None
        self._transport = transport
        for watch in (self._ask_for_life, self._end_silence):
            threading.Thread(target=watch, args=(settings.keep_alive,), daemon=True).start()

    def __enter__(self) -> "ParamikoConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        """Hang up, upon which sshd closes the standard input of what still runs there."""
        self._closing.set()
        self._client.close()

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: Path | None = None,
        on_error: LineSink | None = None,
        limit: Limit = USUAL,
    ) -> Result:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        text, mark = for_login_shell(command)
        answer = Answer(self.name, limit, on_error, mark)
        try:
            with self._transport.open_session(timeout=self._silence) as channel:
                self._running = channel
                channel.exec_command(text)
                _exchange(channel, stdin, answer)
                code = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost() from error
        finally:
            self._running = None
        if code < 0 or code == LOST or channel is self._interrupted:
            raise self._lost()
        return Result(code, *answer.finish())

    def interrupt(self) -> None:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        channel = self._interrupted = self._running
        if channel is not None:
            channel.close()  # sshd then closes the command's standard input

    def _ask_for_life(self, interval: float) -> None:
        """Ask for a sign of life now and then. paramiko's own keep-alive wants no answer."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while self._transport.is_active() and not self._closing.wait(interval):
                self._transport.global_request("keepalive@openssh.com", wait=True)
                self._quiet = 0.0

    def _end_silence(self, interval: float) -> None:
        """Close the connection when no answer came for too long. Ctrl-Z stops this clock, too."""
        while not self._closing.wait(_TICK):
            self._quiet += _TICK
            if self._quiet > self._silence + interval:
                self._transport.close()
                return

    def _lost(self) -> RunFailedError:
        silent = self._quiet > self._silence
        return self._destination.lost(f"no answer for {self._silence:g} s" if silent else "")


def _exchange(channel: paramiko.Channel, stdin: Path | None, answer: Answer) -> None:
    """Send ``stdin`` and take in the answer, whichever is possible."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(stdin.open("rb")) if stdin else None
        unsent = b""
        while True:
            ended = channel.exit_status_ready() and (channel.eof_received or channel.closed)
            busy = False
            if channel.recv_ready():
                answer.take_output(channel.recv(_BLOCK))
                busy = True
            if channel.recv_stderr_ready():
                answer.take_errors(channel.recv_stderr(_BLOCK))
                busy = True
            if source is not None and not ended and channel.send_ready():
                busy = True
                try:
                    unsent = unsent or source.read(_BLOCK)
                    if unsent:
                        unsent = unsent[channel.send(unsent) :]
                    else:
                        channel.shutdown_write()
                        source = None
                except OSError:  # it ended before it had read everything: its exit code says why
                    source = None
            if ended and not busy:
                return
            if not busy:
                time.sleep(0.005)
            answer.check_time()


def _log_in(
    client: paramiko.SSHClient, settings: _Settings, on_new_host_key: OnNewHostKey | None
) -> None:
    for file in settings.known_hosts:
        if file.is_file():
            _load_known_hosts(client, file)
    client.set_missing_host_key_policy(_NewHostKey(settings, on_new_host_key))
    destination = settings.destination
    client.connect(
        destination.host,
        destination.port,
        destination.user,
        key_filename=list(settings.identities),  # type: ignore[arg-type]  # its stubs know of one
        allow_agent=not settings.identities_only,
        look_for_keys=not settings.identities_only,
        timeout=settings.timeout,
        banner_timeout=settings.timeout,
        auth_timeout=settings.timeout,
    )


def _load_known_hosts(client: paramiko.SSHClient, file: Path) -> None:
    try:
        if re.search(r"^\s*@", file.read_text(errors="replace"), re.MULTILINE):
            raise _unsupported(f"'{file}' has lines that begin with @cert-authority or @revoked")
        client.load_system_host_keys(str(file))
    except (InvalidHostKey, paramiko.SSHException) as error:
        raise _unsupported(f"'{file}' has a line that cannot be read ({error})") from error


class _NewHostKey(paramiko.MissingHostKeyPolicy):
    """Asked only where no key at all is known for a host; any other key is refused before."""

    def __init__(self, settings: _Settings, on_new_host_key: OnNewHostKey | None) -> None:
        self._settings, self._on_new_host_key = settings, on_new_host_key

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        destination, file = self._settings.destination, self._settings.known_hosts[0]
        if self._on_new_host_key is None:
            raise destination.failure("new key", f"{key.get_name()} {key.fingerprint}")
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as known:
                unfinished = not known.read().endswith(b"\n") and known.tell() > 0
                line = f"{destination.known_as} {key.get_name()} {key.get_base64()}\n"
                known.write(("\n" * unfinished + line).encode())
        except OSError as error:
            raise ConnectionFailedError(
                f"the host key of '{destination.typed}' cannot be added to '{file}': "
                f"{error.strerror}"
            ) from error
        self._on_new_host_key(destination.now_trusted(f"{key.get_name()} {key.fingerprint}", file))


def _settings(address: Address, config: Path | None) -> _Settings:
    own_name = _own_name()  # paramiko asks for it as well
    file = config or _at_home("~/.ssh/config")
    try:
        text = file.read_text() if config or file.is_file() else ""
        _check_lines(text, file)
        options = paramiko.SSHConfig.from_text(text).lookup(address.name)
    except (OSError, ValueError, RuntimeError, paramiko.SSHException, ImportError) as error:
        raise InputError(f"the ssh configuration '{file}' cannot be read: {error}") from error
    for key, value in options.items():
        text = "\n".join(value) if isinstance(value, list) else str(value)
        several = key.endswith("knownhostsfile") or key.endswith("env")
        if key not in _KNOWN or re.search(r"%|\$\{" if several else r"%|\$\{| ", text):
            raise _unsupported(f"the ssh configuration '{file}' sets {key} to '{value}'")
    if options.get("stricthostkeychecking", "ask") not in ("yes", "ask"):
        raise _unsupported(f"the ssh configuration '{file}' switches StrictHostKeyChecking off")
    try:
        port = address.port or int(options.get("port", 22))
        timeout = float(options.get("connecttimeout", _TIMEOUT))
        keep_alive = float(options.get("serveraliveinterval", 0)) or _KEEP_ALIVE
        unanswered = int(options.get("serveralivecountmax", _UNANSWERED))
    except ValueError as error:
        raise _unsupported(f"a number in the ssh configuration '{file}': {error}") from error
    host, user = options["hostname"].lower(), address.user or options.get("user", own_name)
    option = f"-p {port} " if port != 22 else ""
    known_hosts = options.get("userknownhostsfile", _USER_KNOWN_HOSTS).split()
    known_hosts += options.get("globalknownhostsfile", _SYSTEM_KNOWN_HOSTS).split()
    return _Settings(
        destination=Destination(address.typed, host, port, user, f"ssh {option}{user}@{host}"),
        identities=tuple(
            path
            for path in map(os.path.expanduser, options.get("identityfile", []))
            if Path(path).is_file()
        ),
        identities_only=options.get("identitiesonly", "no").lower() == "yes",
        known_hosts=tuple(map(_at_home, known_hosts)),
        timeout=timeout,
        keep_alive=keep_alive,
        silence=keep_alive * max(unanswered, 1),
    )


def _check_lines(text: str, file: Path) -> None:
    """Raise InputError for what paramiko would silently read in another way than ssh."""
    for number, line in enumerate(text.splitlines(), 1):
        words = re.split(r"[\s=]+", line.strip())
        if words[0].startswith("#"):
            continue
        base = _at_home("~/.ssh")
        included = [glob.glob(str(base / Path(w).expanduser())) for w in words[1:]]  # noqa: PTH207
        if words[0].lower() == "match" or (words[0].lower() == "include" and any(included)):
            raise _unsupported(f"'{file}' has {words[0]} in line {number}")
        if any(mark in line for mark in ("#", '"', "\\")):
            raise _unsupported(f"'{file}' has a comment or quotes in line {number}")


def _at_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"there is no home folder for '{path}'; set HOME") from error


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise InputError("your user has no name on this machine; set USER") from error


def _unsupported(what: str) -> InputError:
    return InputError(
        f"{what}, which the paramiko transport does not support: use OpenSSH's program ssh "
        "(--transport openssh), or give it a plainer configuration with -F"
    )
