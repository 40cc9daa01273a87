"""Where to log in, and every way in which that fails, in one sentence each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitat_deploy.errors import ConnectionFailedError, InputError, RunFailedError
from bitat_deploy.plain_text import foreign_text

_TYPED = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.$-]*)@)?"
    r"(?:(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)

_SENTENCES = {
    "unknown name": "there is no host '{host}' ({said}); check the name and the network",
    "refused": "'{typed}' refuses connections ({said}); is its SSH server switched on?",
    "silent": "'{typed}' does not answer ({where}, {said}); is it switched on and reachable?",
    "new key": "the host key of '{typed}' is not known ({said}); log in once with '{ssh}', compare "
    "the fingerprint with the device's own, and accept it there, or use --accept-new-host-key",
    "changed key": "the host key of '{typed}' has changed ({said}); somebody may be in between. If "
    "the device was set up anew, remove the old key with \"ssh-keygen -R '{known_as}'\" and log in "
    "once with '{ssh}'",
    "revoked key": "the host key of '{typed}' is marked as revoked in known_hosts; somebody may be "
    "in between: give the device a new key",
    "denied": "'{typed}' refused the login of '{user}' ({said}): install your key with "
    "'ssh-copy-id {port_option}{user}@{host}' (ssh-keygen makes one), and add a key with a "
    "passphrase to the agent with ssh-add",
    "no keys": "'{typed}' takes no keys, only {methods}, and passwords are asked for at a terminal "
    "only: allow PubkeyAuthentication in its sshd_config, then install your key with "
    "'ssh-copy-id {port_option}{user}@{host}' (ssh-keygen makes one)",
    "no ssh": "'{typed}' does not speak SSH with us ({where}): {said}; is that its SSH server's "
    "port?",
    "broken off": "the login at '{typed}' broke off ({where}): {said}; check the network and the "
    "device, and try again",
    "unreachable": "'{typed}' cannot be reached ({where}): {said}; check the network and the "
    "device",
}

# What is said, and which sentence that is; the first that is found counts.
OPENSSH = {
    r"REVOKED HOST KEY|revoked": "revoked key",
    r"IDENTIFICATION HAS CHANGED|host key .*has changed": "changed key",
    r"Host key verification failed|host key is known": "new key",
    r"Could not resolve hostname": "unknown name",
    r"Permission denied \((?P<methods>.*)\)|Too many authentication failures": "denied",
    r"Connection refused": "refused",
    r"timed out|no answer": "silent",
    r"Connection (closed|reset) by .* port|Broken pipe|closed by remote": "broken off",
    r"kex_exchange_identification|banner|[Nn]o matching|packet|[Pp]rotocol": "no ssh",
}
PARAMIKO = {
    r"BadHostKeyException": "changed key",
    r"No existing session|timeout|shut down|EOFError|ConnectionReset": "broken off",
    r"BadAuthenticationType.*allowed types: (?P<methods>.*)": "denied",
    r"AuthenticationException|No authentication methods|PasswordRequired": "denied",
    r"gaierror": "unknown name",
    r"TimeoutError": "silent",
    r"NoValidConnections|ConnectionRefused": "refused",
    r"SSHException": "no ssh",
}


@dataclass(frozen=True)
class Address:
    """A device as the user typed it: ``[user@]name[:port]``."""

    typed: str
    name: str
    user: str | None
    port: int | None

    @classmethod
    def parse(cls, typed: str) -> "Address":
        """Raises InputError where it is of another form."""
        match = _TYPED.fullmatch(typed)
        if match is None:
            raise InputError(
                f"'{typed}' is not 'local' and not of the form user@host or user@host:port "
                "(an IPv6 address goes in square brackets)"
            )
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 0 < port < 65536:
            raise InputError(f"'{typed}' has a port that is not between 1 and 65535")
        return cls(typed, match["name"] or match["address"], match["user"], port)


@dataclass(frozen=True)
class Destination:
    """Where an address leads by the ssh configuration; ``ssh`` is the command that goes there."""

    typed: str
    host: str
    port: int
    user: str
    ssh: str

    @property
    def known_as(self) -> str:
        """The device's name in known_hosts."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    def failure(self, kind: str, said: str = "", methods: str = "") -> ConnectionFailedError:
        """The error of that ``kind``; ``said`` is what the SSH client had to say."""
        sentence = _SENTENCES[kind].format(
            typed=self.typed,
            host=self.host,
            user=self.user,
            ssh=self.ssh,
            known_as=self.known_as,
            where=f"{self.host} port {self.port}",
            port_option="" if self.port == 22 else f"-p {self.port} ",
            said=foreign_text(said),
            methods=methods,
        )
        return ConnectionFailedError(sentence)

    def lost(self, why: str) -> RunFailedError:
        """The error of a connection that ended; ``why`` may be empty."""
        return RunFailedError(
            f"the connection to '{self.typed}' was lost{f' ({why})' if why else ''}; nothing "
            "half-done is used there: check the network and the device's power, and run it again"
        )

    def now_trusted(self, key: str, file: Path) -> str:
        """What is told of a new host key."""
        return (
            f"The host key of '{self.typed}' was not known and is now trusted: {key}, added to "
            f"'{file}'."
        )


def failure_kind(log: str, kinds: Mapping[str, str]) -> tuple[str, str, str]:
    """The kind of failure by ``kinds``, OPENSSH or PARAMIKO; the line that says so; methods."""
    for pattern, kind in kinds.items():
        match = re.search(pattern, log)
        if match is None:
            continue
        start, end = log.rfind("\n", 0, match.start()) + 1, log.find("\n", match.end())
        line = log[start : end if end >= 0 else None].strip()
        methods = re.findall(r"[a-z-]+", match.groupdict().get("methods") or "publickey")
        if kind == "denied" and "publickey" not in methods:
            return "no keys", line, " or ".join(methods)
        return kind, line, ""
    return "unreachable", (log.strip().splitlines() or ["no reason was given"])[-1].strip(), ""
