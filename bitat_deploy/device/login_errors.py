"""Everything that can go wrong on the way to a login, in one sentence each."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import paramiko

from bitat_deploy.device.ssh_settings import SshSettings
from bitat_deploy.device.watched_socket import SilentPeerError
from bitat_deploy.errors import ConnectionFailedError


@contextlib.contextmanager
def explained(settings: SshSettings, proxy_error: Callable[[], str]) -> Iterator[None]:
    """Turn everything that can go wrong on the way to a login into one sentence.

    ``proxy_error`` gives what the command that leads there had to say, if one does.
    """
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
    except paramiko.BadAuthenticationType as error:
        raise ConnectionFailedError(_refused_login(settings, error.allowed_types)) from error
    except paramiko.AuthenticationException as error:
        # paramiko says so too where the connection ended, or nothing came, in the middle.
        if "shut down" in str(error) or "timeout" in str(error):
            raise ConnectionFailedError(_broken_off(settings, str(error))) from error
        raise ConnectionFailedError(_refused_login(settings, ["publickey"])) from error
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
    except SilentPeerError as error:
        raise ConnectionFailedError(_broken_off(settings, str(error.strerror))) from error
    except EOFError as error:
        reason = proxy_error() or "the connection was closed"
        raise ConnectionFailedError(_broken_off(settings, reason)) from error
    except OSError as error:
        raise ConnectionFailedError(
            f"{device} cannot be reached ({where}): "
            f"{proxy_error() or error.strerror or error}; check the network and the device"
        ) from error
    except paramiko.SSHException as error:
        if "No authentication methods" in str(error):
            raise ConnectionFailedError(_refused_login(settings, ["publickey"])) from error
        if "No existing session" in str(error):  # paramiko's words for a timeout
            reason = proxy_error() or f"no answer for {settings.timeout:g} s"
            raise ConnectionFailedError(_broken_off(settings, reason)) from error
        raise ConnectionFailedError(
            f"{device} does not speak SSH with us ({where}): "
            f"{proxy_error() or _reason(error)}; is that its SSH server's port?"
        ) from error


def _reason(error: paramiko.SSHException) -> str:
    """paramiko says the same of everything that may happen before SSH begins."""
    if isinstance(error.__context__, EOFError):
        return "it closed the connection"
    if isinstance(error.__context__, (TimeoutError, SilentPeerError)):
        return "it does not answer"
    return str(error)


def _broken_off(settings: SshSettings, reason: str) -> str:
    return (
        f"the login at '{settings.name}' broke off ({settings.host} port {settings.port}): "
        f"{reason}; check the network and the device, and try again"
    )


def _refused_login(settings: SshSettings, methods: list[str]) -> str:
    port = "" if settings.port == 22 else f"-p {settings.port} "
    remedy = (
        f"install your key with 'ssh-copy-id {port}{settings.user}@{settings.host}' "
        "(ssh-keygen makes one)"
    )
    if "publickey" not in methods:
        return (
            f"'{settings.name}' takes no keys, only {' or '.join(methods)}, and passwords are not "
            f"used here: allow PubkeyAuthentication in its sshd_config, then {remedy}"
        )
    offered = [str(path) for path in settings.identities if path.is_file()]
    if not settings.identities_only:
        offered += ["those of the agent", "the usual ones in ~/.ssh"]
    return (
        f"'{settings.name}' refused the login of '{settings.user}' with every key offered "
        f"({', '.join(offered) or 'none'}); passwords are not used here: {remedy}"
    )
