"""One door to every device."""

from pathlib import Path

from bitat_deploy.device.connection import Connection
from bitat_deploy.device.host_keys import OnNewHostKey
from bitat_deploy.device.local import LocalConnection
from bitat_deploy.device.ssh import SshConnection
from bitat_deploy.device.ssh_settings import read_settings

LOCAL = "local"


def connect(
    host: str, ssh_config: Path | None = None, on_new_host_key: OnNewHostKey | None = None
) -> Connection:
    """Connect to ``local`` (this machine) or ``[user@]name[:port]`` by SSH.

    ``ssh_config`` replaces the user's ssh configuration, as ``ssh -F`` does. An unknown host key is
    refused, or, with ``on_new_host_key``, added to known_hosts and told of. Use the result in a
    ``with`` block. Raises InputError for a malformed host, ConnectionFailedError.
    """
    if host == LOCAL:
        return LocalConnection()
    return SshConnection(read_settings(host, ssh_config), on_new_host_key)
