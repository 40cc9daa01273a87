"""A device behind SSH."""

import contextlib
import logging
import shlex
import socket
from collections.abc import Iterator, Sequence
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
from bitat_deploy.device.ssh_settings import SshSettings
from bitat_deploy.errors import ConnectionFailedError, RunFailedError

# A connection that has silently gone is noticed after about this many seconds.
_SILENCE = 30
_KEEP_ALIVE = 5
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
        self._running: paramiko.Channel | None = None
        self._client = paramiko.SSHClient()
        try:
            with _explained(settings):
                _connect(self._client, settings, on_new_host_key)
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> "SshConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        """Hang up, upon which sshd closes the standard input of what still runs there."""
        self._client.close()

    def run(
        self, command: Sequence[str], *, stdin: Path | None = None, on_error: LineSink | None = None
    ) -> Result:
        """See :class:`~bitat_deploy.device.connection.Connection`."""
        transport = self._client.get_transport()
        try:
            if transport is None:
                raise EOFError
            with transport.open_session(timeout=_SILENCE) as channel:
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

    def _lost(self) -> RunFailedError:
        return RunFailedError(
            f"the connection to '{self.name}' was lost; nothing half-done is used there: "
            "check the network and the device's power, and run bench again"
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


def _connect(
    client: paramiko.SSHClient, settings: SshSettings, on_new_host_key: OnNewHostKey | None
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
        sock=_socket(settings),
    )
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(_KEEP_ALIVE)


def _socket(settings: SshSettings) -> "socket.socket | paramiko.ProxyCommand":
    if settings.proxy_command is not None:
        return paramiko.ProxyCommand(settings.proxy_command)
    connected = socket.create_connection((settings.host, settings.port), settings.timeout)
    # With the keep-alive messages: a peer that acknowledges nothing for so long is gone.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE * 1000)
    return connected


@contextlib.contextmanager
def _explained(settings: SshSettings) -> Iterator[None]:
    """Turn everything that can go wrong on the way to a login into one sentence."""
    device = f"'{settings.name}'"
    where = f"{settings.host} port {settings.port}"
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise ConnectionFailedError(
            f"the host key of {device} has changed: it is {error.key.fingerprint}, known is "
            f"{error.expected_key.fingerprint}; somebody may be in between. If the device was set "
            f"up anew, remove the old key with \"ssh-keygen -R '{settings.known_as}'\" and log in "
            "once with ssh"
        ) from error
    except paramiko.PasswordRequiredException as error:
        raise ConnectionFailedError(
            f"the key for {device} is protected by a passphrase; add it to the agent with ssh-add"
        ) from error
    except paramiko.AuthenticationException as error:
        raise ConnectionFailedError(_refused_login(settings)) from error
    except socket.gaierror as error:
        raise ConnectionFailedError(
            f"there is no host '{settings.host}'; check the name and the network"
        ) from error
    except TimeoutError as error:
        raise ConnectionFailedError(
            f"{device} does not answer ({where}, {settings.timeout:g} s); is it switched on and "
            "reachable from here?"
        ) from error
    except ConnectionRefusedError as error:
        raise ConnectionFailedError(
            f"{device} refuses connections ({where}); is its SSH server switched on?"
        ) from error
    except (OSError, EOFError) as error:
        raise ConnectionFailedError(
            f"{device} cannot be reached ({where}): {getattr(error, 'strerror', None) or error}"
        ) from error
    except paramiko.SSHException as error:
        if "No authentication methods" in str(error):
            raise ConnectionFailedError(_refused_login(settings)) from error
        raise ConnectionFailedError(
            f"{device} does not speak SSH with us ({where}): {error}"
        ) from error


def _refused_login(settings: SshSettings) -> str:
    offered = [str(path) for path in settings.identities if path.is_file()]
    if not settings.identities_only:
        offered += ["those of the agent", "the usual ones in ~/.ssh"]
    port = "" if settings.port == 22 else f"-p {settings.port} "
    return (
        f"'{settings.name}' refused the login of '{settings.user}' with every key offered "
        f"({', '.join(offered) or 'none'}); passwords are not used here: install your key with "
        f"'ssh-copy-id {port}{settings.user}@{settings.host}'"
    )
