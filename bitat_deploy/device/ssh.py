"""A device behind SSH."""

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import paramiko

from bitat_deploy.device.connection import LineSink, Result
from bitat_deploy.device.error_lines import ErrorLines
from bitat_deploy.device.host_keys import (
    AcceptNewHost,
    OnNewHostKey,
    RefuseUnknownHost,
    load_known_hosts,
)
from bitat_deploy.device.login_errors import explained
from bitat_deploy.device.proxy import Proxy
from bitat_deploy.device.ssh_settings import SshSettings
from bitat_deploy.device.watched_socket import WatchedSocket
from bitat_deploy.errors import RunFailedError

_LOGIN_STEPS = 3  # connection, key exchange, authentication: each has its timeout
_SECONDS_BETWEEN_ATTEMPTS = 1.0  # as ssh waits
_BLOCK = 1 << 18

# Its transport thread logs tracebacks of what we report as one sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshConnection:
    """An open SSH connection. Host keys are checked against known_hosts.

    Unknown ones are accepted and added there only where ``on_new_host_key`` is to be told of it.
    """

    def __init__(self, settings: SshSettings, on_new_host_key: OnNewHostKey | None = None) -> None:
        """Connect and log in. Raises ConnectionFailedError."""
        self.name = settings.name
        self._silence = settings.silence
        self._running: paramiko.Channel | None = None
        self._closing = threading.Event()
        with contextlib.ExitStack() as stack:
            proxy: Proxy | None = None
            with explained(settings, lambda: proxy.last_error() if proxy else ""):
                if settings.proxy_command is not None:
                    proxy = Proxy(settings.proxy_command)
                    stack.callback(proxy.close)
                wire = proxy.socket if proxy else open_socket(settings)
                stack.callback(wire.close)
                self._socket = WatchedSocket(wire, _LOGIN_STEPS * settings.timeout)
                self._client = stack.enter_context(paramiko.SSHClient())
                _log_in(self._client, settings, on_new_host_key, self._socket)
            self._socket.expect_answers(settings.silence)
            threading.Thread(
                target=self._keep_alive, args=(settings.keep_alive,), daemon=True
            ).start()
            stack.callback(self._closing.set)
            self._resources = stack.pop_all()

    def __enter__(self) -> "SshConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        """Hang up, upon which sshd closes the standard input of what still runs there."""
        self._resources.close()

    def run(
        self, command: Sequence[str], *, stdin: Path | None = None, on_error: LineSink | None = None
    ) -> Result:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        transport = self._client.get_transport()
        try:
            if transport is None:
                raise EOFError
            with transport.open_session(timeout=self._silence) as channel:
                self._running = channel
                channel.exec_command(shlex.join(command))
                errors = ErrorLines(channel.makefile_stderr("rb"), on_error)
                if stdin is not None:
                    _send(channel, stdin)
                stdout = channel.makefile("rb").read()
                stderr = errors.finish()
                code = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost() from error
        finally:
            self._running = None
        if code < 0:
            raise self._lost()
        return Result(code, stdout, stderr)

    def interrupt(self) -> None:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        channel = self._running
        if channel is not None:
            channel.close()  # sshd then closes the command's standard input

    def _keep_alive(self, interval: float) -> None:
        """Ask for a sign of life now and then. paramiko's own keep-alive wants no answer."""
        transport = self._client.get_transport()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while transport and transport.is_active() and not self._closing.wait(interval):
                transport.global_request("keepalive@openssh.com", wait=True)

    def _lost(self) -> RunFailedError:
        why = f" (no answer for {self._silence:g} s)" if self._socket.is_silent else ""
        return RunFailedError(
            f"the connection to '{self.name}' was lost{why}; nothing half-done is used there: "
            "check the network and the device's power, and run it again"
        )


def _send(channel: paramiko.Channel, source: Path) -> None:
    with source.open("rb") as file:
        try:
            while block := file.read(_BLOCK):
                channel.sendall(block)
            channel.shutdown_write()
        except OSError:
            # The command ended before it had read everything: its exit code says why. Or the
            # connection is lost, then there is none.
            return


def _log_in(
    client: paramiko.SSHClient,
    settings: SshSettings,
    on_new_host_key: OnNewHostKey | None,
    wire: WatchedSocket,
) -> None:
    load_known_hosts(settings, client.get_host_keys())
    client.set_missing_host_key_policy(
        RefuseUnknownHost(settings)
        if on_new_host_key is None
        else AcceptNewHost(settings, on_new_host_key)
    )
    identities = [str(path) for path in settings.identities if path.is_file()]
    client.connect(
        settings.host,
        settings.port,
        settings.user,
        key_filename=identities,  # type: ignore[arg-type]  # its stubs know of one only
        allow_agent=not settings.identities_only,
        look_for_keys=not settings.identities_only,
        timeout=settings.timeout,
        banner_timeout=settings.timeout,
        auth_timeout=settings.timeout,
        sock=wire,  # type: ignore[arg-type]  # all that it uses of a socket
    )


def open_socket(settings: SshSettings) -> socket.socket:
    """Connect to the device's port. Raises OSError after the last of ``settings.attempts``.

    Only this is tried again: nothing has been asked of the device yet, so it is always safe.
    """
    connected = _connect(settings)
    # Small requests are answered before more is sent: nothing is gained by gathering them.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _connect(settings: SshSettings) -> socket.socket:
    for _ in range(settings.attempts - 1):
        with contextlib.suppress(OSError):
            return socket.create_connection((settings.host, settings.port), settings.timeout)
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
    return socket.create_connection((settings.host, settings.port), settings.timeout)
