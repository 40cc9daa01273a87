"""One door to every device."""

import logging
import shutil
from pathlib import Path

from bitat_deploy.device.connection import Connection, OnNewHostKey, Prompting
from bitat_deploy.device.local import LocalConnection
from bitat_deploy.device.logged import LOGGER, LoggedConnection
from bitat_deploy.device.login import Address
from bitat_deploy.device.openssh import PROGRAM, OpenSshConnection
from bitat_deploy.errors import InputError
from bitat_deploy.host_system import is_linux

LOCAL = "local"
OPENSSH, PARAMIKO = "openssh", "paramiko"


def connect(
    host: str,
    ssh_config: Path | None = None,
    on_new_host_key: OnNewHostKey | None = None,
    *,
    transport: str | None = None,
    prompting: Prompting | None = None,
    folder: str = "",
) -> Connection:
    """Connect to ``local`` (this machine) or ``[user@]name[:port]`` by SSH.

    ``ssh_config`` replaces the user's ssh configuration, as ``ssh -F`` does. An unknown host key is
    refused, or, with ``on_new_host_key``, added to known_hosts and told of. ``transport`` is
    OPENSSH, the program ssh, or PARAMIKO; without it, the program is taken where it exists. Inside
    ``prompting``, ssh may ask for a password at the terminal; without it, nothing is asked. Our
    files there go into ``folder``, an absolute path, instead of the user's cache folder. Use the
    result in a ``with`` block. Commands are logged by LOGGER, if it is enabled for INFO. Raises
    InputError for a malformed host, configuration or folder, ConnectionFailedError.
    """
    if folder and not (folder.startswith("/") and folder.isprintable()):
        raise InputError(
            f"the device's folder {folder!r} is no absolute path; write one like /var/tmp"
        )
    connection = _open(host, ssh_config, on_new_host_key, transport, prompting)
    connection.folder = folder
    return LoggedConnection(connection) if LOGGER.isEnabledFor(logging.INFO) else connection


def _open(
    host: str,
    ssh_config: Path | None,
    on_new_host_key: OnNewHostKey | None,
    transport: str | None,
    prompting: Prompting | None,
) -> Connection:
    if host == LOCAL:
        if not is_linux():
            raise InputError(
                "this machine does not run Linux, so nothing can be measured on it; name a board "
                "with --host user@device"
            )
        return LocalConnection()
    address = Address.parse(host)
    if ssh_config is not None and not ssh_config.is_file():
        raise InputError(f"there is no ssh configuration file '{ssh_config}'")
    has_program = shutil.which(PROGRAM) is not None
    if (transport or (OPENSSH if has_program else PARAMIKO)) == OPENSSH:
        if not has_program:
            raise InputError(
                f"there is no program '{PROGRAM}' here: install OpenSSH's client, or use "
                f"--transport {PARAMIKO}"
            )
        return OpenSshConnection(address, ssh_config, on_new_host_key, prompting)
    from bitat_deploy.device.paramiko_ssh import ParamikoConnection  # loads slowly

    return ParamikoConnection(address, ssh_config, on_new_host_key)
