"""A device behind SSH, by the program ``ssh``.

One login, then one session of that connection for each command. Which host, user, keys, host keys,
agents and proxies that means, ssh reads from the user's configuration, and nobody else.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bitat_deploy.device.answer import Answer
from bitat_deploy.device.connection import USUAL, Limit, LineSink, OnNewHostKey, Prompting, Result
from bitat_deploy.device.login import OPENSSH, Address, Destination, failure_kind
from bitat_deploy.device.login_shell import LOST, for_login_shell
from bitat_deploy.device.processes import Processes
from bitat_deploy.errors import ConnectionFailedError, InputError, RunFailedError
from bitat_deploy.plain_text import foreign_text

PROGRAM = "ssh"

# Where none is set: ssh would wait for as long as the system does, or for ever.
_CONNECT_SECONDS, _ALIVE_SECONDS, _ALIVE_COUNT = 15, 10, 3
_LOGIN_STEPS = 3  # connection, key exchange, authentication: each has its timeout
_PROMPT_SECONDS = 300
_LOG_BYTES = 1 << 20  # is read of it
_LONGEST_FOLDER = 60  # a socket's path has about 100 bytes, of which ssh takes some

# As scp does: a connection for programs, of which a configuration for people is not to ask more.
_FOR_PROGRAMS = (
    *("-f", "-N", "-M", "-T"),
    *("-o", "ControlPersist=no", "-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none", "-o", "LogLevel=INFO"),
)

# A device can make ssh log without end. Files of 64 MB are enough for ssh and its proxies.
_BOUNDED = ("/bin/sh", "-c", 'ulimit -f 131072; exec "$@"', "sh")

# Once our end of its input is closed, even by SIGKILL, the connection ends and nothing is left.
_CLOSE = 'folder=$1; shift; cat; "$@"; rm -rf "$folder"'


class OpenSshConnection:
    """An open connection of ssh's: a master in the background, with a control socket of our own."""

    def __init__(
        self,
        address: Address,
        config: Path | None = None,
        on_new_host_key: OnNewHostKey | None = None,
        prompting: Prompting | None = None,
    ) -> None:
        """Connect and log in. Raises InputError for a bad configuration, ConnectionFailedError.

        An unknown host key is accepted where ``on_new_host_key`` is to be told of it. Where keys
        and agents do not suffice, ssh may ask at the terminal, inside ``prompting``.
        """
        self.name = address.typed
        self.folder = ""
        self._to = _arguments(address, config)
        self._settings = _settings(self._to)
        self._destination = _destination(address, self._to, self._settings)
        self._processes = Processes()
        self._folder = _short_folder()
        self._log = self._folder / "log"
        self._socket = self._folder / "s"
        self._log.touch()
        self._closer = self._start_closer()
        try:
            self._log_in(on_new_host_key, prompting)
        except BaseException:
            self.close()
            raise
        self._lines_of_login = len(self._logged())

    def __enter__(self) -> "OpenSshConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, upon which sshd closes the pipes of what still runs there."""
        assert self._closer.stdin is not None
        self._closer.stdin.close()
        try:
            self._closer.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._closer.kill()
            self._closer.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

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
        client = [*self._client(), "-T", "-E", str(self._log), "--", "device", text]
        code = self._processes.run(client, stdin, answer)
        if code < 0 or code == LOST:
            raise self._lost()
        return Result(code, *answer.finish())

    def interrupt(self) -> None:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        self._processes.interrupt()

    def _client(self) -> list[str]:
        """A client of the master, and of nothing else: where that is gone, it must not log in."""
        alone = ["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-o", "BatchMode=yes"]
        return [PROGRAM, "-F", "/dev/null", "-S", str(self._socket), *alone]

    def _start_closer(self) -> "subprocess.Popen[bytes]":
        end = [*self._client(), "-O", "exit", "--", "device"]
        return subprocess.Popen(
            ["/bin/sh", "-c", _CLOSE, "sh", str(self._folder), *end],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _log_in(self, on_new_host_key: OnNewHostKey | None, prompting: Prompting | None) -> None:
        connect, alive, count = _waits(self._settings)
        options = [*_FOR_PROGRAMS, "-S", str(self._socket), "-o", f"ConnectTimeout={connect}"]
        options += ["-o", f"ServerAliveInterval={alive}", "-o", f"ServerAliveCountMax={count}"]
        if on_new_host_key is not None:
            options += ["-o", "StrictHostKeyChecking=accept-new"]
        failure = self._try([*options, "-E", str(self._log), "-o", "BatchMode=yes"])
        if failure is not None and self._use_the_users_master():
            return
        if failure is not None and failure[0] in ("new key", "denied", "no keys") and prompting:
            with prompting():
                failure = self._try_at_terminal(options)
        if failure is not None:
            raise self._destination.failure(*failure)
        if on_new_host_key is not None:
            self._tell_of_new_key(on_new_host_key)

    def _try(self, options: list[str]) -> tuple[str, str, str] | None:
        """Log in where nobody can be asked; None, or how that failed."""
        timeout, attempts = _waits(self._settings)[0], self._settings.get("connectionattempts")
        seconds = (timeout + 1) * ((_number(attempts) or 1) - 1) + _LOGIN_STEPS * timeout
        # What proxies say. ssh lives on in the background, so no pipe, whose end nobody would see.
        with (self._folder / "errors").open("w+b") as errors:
            login = subprocess.Popen(
                [*_BOUNDED, PROGRAM, *options, *self._to],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # without the terminal
            )
            if not _finished(login, seconds):
                return "silent", f"nothing for {seconds:g} s", ""
            if login.returncode == 0:
                return None
            errors.seek(0)
            besides = errors.read(_LOG_BYTES).decode(errors="replace").strip().splitlines()
        log = "".join(self._logged())
        kind, said, methods = failure_kind(log, OPENSSH)
        if kind == "changed key":
            said = " ".join(re.findall(r"SHA256:\S+?(?=\.?\s)", log)) or said
        elif besides and kind in ("broken off", "no ssh", "unreachable"):
            said = besides[-1].strip()
        return kind, said, methods

    def _try_at_terminal(self, options: list[str]) -> tuple[str, str, str] | None:
        """Log in where ssh asks and says what it likes; None, or how that failed."""
        login = subprocess.Popen(
            [*_BOUNDED, PROGRAM, *options, *self._to],
            stdin=subprocess.DEVNULL,  # it asks at the terminal itself
            stdout=subprocess.DEVNULL,
        )
        if not _finished(login, _PROMPT_SECONDS):
            return "broken off", f"not finished within {_PROMPT_SECONDS} s", ""
        return None if login.returncode == 0 else ("denied", "ssh says why above", "")

    def _use_the_users_master(self) -> bool:
        """Whether the user is logged in already and shares that, as a second factor may need."""
        check = subprocess.run(
            [PROGRAM, "-O", "check", *self._to], capture_output=True, check=False
        )
        if check.returncode != 0:
            return False
        self._socket = Path(self._settings["controlpath"])
        return True

    def _tell_of_new_key(self, on_new_host_key: OnNewHostKey) -> None:
        log = "".join(self._logged())
        failed = re.search(r"Failed to add the host.*", log)
        if failed is not None:
            on_new_host_key(f"The host key of '{self.name}' is trusted this time: {failed.group()}")
        added = re.search(r"Permanently added '(.+)' \((\S+)\)", log)
        if added is None:
            return
        name, kind = added.groups()
        file = Path(shlex.split(self._settings["userknownhostsfile"])[0]).expanduser()
        find = ["ssh-keygen", "-l", "-F", name, "-f", str(file)]
        found = subprocess.run(find, capture_output=True, text=True, check=False).stdout
        fingerprint = " ".join(re.findall(r"SHA256:\S+", found))
        on_new_host_key(self._destination.now_trusted(f"{kind} {fingerprint}", file))

    def _logged(self) -> list[str]:
        with self._log.open("rb") as file:
            return file.read(_LOG_BYTES).decode(errors="replace").splitlines(keepends=True)

    def _lost(self) -> RunFailedError:
        said = [line.strip() for line in self._logged()[self._lines_of_login :]]
        silent = any("not responding" in line for line in said)
        _, alive, count = _waits(self._settings)
        why = (
            f"no answer for {alive * max(count, 1)} s"
            if silent
            else foreign_text("".join(said[:1]))
        )
        return self._destination.lost(why)


def _waits(settings: dict[str, str]) -> tuple[int, int, int]:
    """ConnectTimeout, ServerAliveInterval and ServerAliveCountMax, ours where none is set."""
    alive = _number(settings.get("serveraliveinterval"))
    count = _number(settings.get("serveralivecountmax")) if alive else _ALIVE_COUNT
    connect = _number(settings.get("connecttimeout")) or _CONNECT_SECONDS
    return connect, alive or _ALIVE_SECONDS, count


def _arguments(address: Address, config: Path | None) -> list[str]:
    arguments = ["-F", str(config)] if config else []
    arguments += ["-p", str(address.port)] if address.port else []
    arguments += ["-l", address.user] if address.user else []
    return [*arguments, "--", address.name]


def _settings(to: list[str]) -> dict[str, str]:
    """What ssh makes of its configuration, as ``ssh -G`` tells it."""
    told = subprocess.run(
        [PROGRAM, "-G", *to], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if told.returncode != 0:
        reason = told.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise InputError(f"ssh refuses its configuration: {reason[0]}")
    lines = told.stdout.decode(errors="replace").splitlines()
    return {key: value for key, _, value in (line.partition(" ") for line in reversed(lines))}


def _destination(address: Address, to: list[str], settings: dict[str, str]) -> Destination:
    return Destination(
        typed=address.typed,
        host=settings.get("hostname", address.name),
        port=_number(settings.get("port")) or 22,
        user=settings.get("user", ""),
        ssh=shlex.join([PROGRAM, *(argument for argument in to if argument != "--")]),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _short_folder() -> Path:
    """A private folder that has room for a socket."""
    usual = tempfile.gettempdir()
    try:
        short = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108  # mkdtemp is safe
        return Path(tempfile.mkdtemp(prefix="bitat-", dir=short))
    except OSError as error:
        raise ConnectionFailedError(
            f"no folder for ssh's control socket can be made: {error}; "
            "set TMPDIR to a folder that can be written"
        ) from error


def _finished(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether it ended within that time; else it is ended."""
    try:
        process.wait(timeout=seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            # With what leads there: a proxy may hang, too. At the terminal, ssh sees to that.
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
            process.terminate()
            process.wait()
