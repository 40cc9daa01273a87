"""We log in where ``ssh`` does, and nowhere else, whatever its configuration says."""

import getpass
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bitat_deploy.device import connect
from bitat_deploy.errors import BitatDeployError
from tests.ssh_devices import free_port, make_key, running_sshd

# Host pi, and then what stands below it. In a configuration, D is the device's folder, P its port.
AT = "Host pi\n HostName 127.0.0.1\n Port P\n User USER\n IdentitiesOnly yes\n"
TRUSTED = " UserKnownHostsFile D/known\n GlobalKnownHostsFile /dev/null\n"
KEY = " IdentityFile D/user\n"
GOOD = AT + TRUSTED + KEY

# A program for ProxyCommand.
NETCAT = f"""#!{sys.executable}
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while b := os.read(0, 65536): s.sendall(b)
threading.Thread(target=up, daemon=True).start()
while b := s.recv(65536): os.write(1, b)
"""


@dataclass(frozen=True)
class Server:
    """A private sshd: its folder with keys, files of known hosts and the like, and its ports."""

    folder: Path
    port: int
    single_session: int
    passwords_only: int
    agent: str

    def fill_in(self, text: str) -> str:
        for word, value in (
            ("USER", getpass.getuser()),
            ("PASSWORDS", str(self.passwords_only)),
            ("SINGLE", str(self.single_session)),
            ("AGENT", self.agent),
            ("D/", f"{self.folder}/"),
            ("P\n", f"{self.port}\n"),
        ):
            text = text.replace(word, value)
        return text


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="sshd-") as folder:
        yield from _serve(Path(folder))


def _serve(folder: Path) -> Iterator[Server]:
    for name in ("host", "other_host", "user", "stranger", "ca", "certified", "a key"):
        make_key(folder / name)
    make_key(folder / "locked", passphrase="secret")
    ports = [free_port() for _ in range(3)]
    known_as = f"[127.0.0.1]:{ports[0]}"
    sign = ["ssh-keygen", "-q", "-s", str(folder / "ca")]
    subprocess.run(
        [*sign, "-I", "host", "-h", "-n", "127.0.0.1", str(folder / "host.pub")], check=True
    )
    user = ["-I", "user", "-n", getpass.getuser(), str(folder / "certified.pub")]
    subprocess.run([*sign, *user], check=True)
    for name in ("user", "certified"):
        (folder / f"{getpass.getuser()}_{name}").write_bytes((folder / name).read_bytes())
        (folder / f"{getpass.getuser()}_{name}").chmod(0o600)

    def public(name: str) -> str:
        return " ".join((folder / f"{name}.pub").read_text().split()[:2])

    files = {
        "authorized_keys": "\n".join(map(public, ("user", "locked", "a key"))) + "\n",
        "known": "".join(f"[127.0.0.1]:{port} {public('host')}\n" for port in ports),
        "nobody": "",
        "wildcard": f"127.0.0.* {public('host')}\n",
        "everybody": f"* {public('host')}\n",
        "with_port": f"[127.0.0.?]:{ports[0]} {public('host')}\n",
        "without_port": f"127.0.0.1 {public('host')}\n",
        "negated": f"*,!127.0.0.1,!{known_as} {public('host')}\n",
        "authority": f"@cert-authority * {public('ca')}\n",
        "revoked": f"{known_as} {public('host')}\n@revoked * {public('host')}\n",
        "changed": f"{known_as} {public('other_host')}\n",
        "damaged": f"{known_as} ssh-ed25519 AAA=\n???\n{known_as} {public('host')}\n",
        "alias": f"board {public('host')}\n",
        "hashed": f"{known_as} {public('host')}\n",
        "included": f" Port {ports[0]}\n{KEY}",
        "part.conf": "Host other\n Port 1\nHost pi\n IdentityFile D/user\n",
        "nc": NETCAT,
    }
    for name, content in files.items():
        (folder / name).write_text(content.replace("D/", f"{folder}/"))
    (folder / "nc").chmod(0o755)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(folder / "hashed")], check=True)
    (folder / "sshd_config").write_text(
        "".join(f"ListenAddress 127.0.0.1:{port}\n" for port in ports) + f"HostKey {folder}/host\n"
        f"HostCertificate {folder}/host-cert.pub\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\n"
        f"TrustedUserCAKeys {folder}/ca.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PidFile none\nAllowTcpForwarding yes\nMaxAuthTries 20\n"
        f"Match LocalPort {ports[1]}\n MaxSessions 1\n"
        f"Match LocalPort {ports[2]}\n PubkeyAuthentication no\n PasswordAuthentication yes\n"
    )
    with _Agent(folder) as agent, running_sshd(folder, ports[0]):
        yield Server(folder, *ports, agent)


class _Agent:
    """An ssh-agent that has the locked key."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._socket = folder, folder / "agent"

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(self._socket)], stdout=subprocess.DEVNULL
        )
        while not self._socket.exists():
            assert self._process.poll() is None
        ask = self._folder / "askpass"
        ask.write_text("#!/bin/sh\necho secret\n")
        ask.chmod(0o755)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(self._socket), "DISPLAY": ":0"}
        environment |= {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        add = ["ssh-add", "-q", str(self._folder / "locked")]
        subprocess.run(add, env=environment, stdin=subprocess.DEVNULL, check=True)
        return str(self._socket)

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()


def known_in(name: str) -> str:
    return AT + KEY + f" UserKnownHostsFile D/{name}\n GlobalKnownHostsFile /dev/null\n"


LOCKED = AT + TRUSTED + " IdentityFile D/locked\n"
STRANGER = AT + TRUSTED + " IdentityFile D/stranger\n"
NO_PORT = GOOD.replace(" Port P\n", "")

# Configuration, and whether ssh logs in with it.
CASES = {
    "plain": (GOOD, True),
    "nothing set": ("", False),
    "unknown option": (f"{GOOD} Foo bar\n", False),
    "unknown option, ignored": (f"IgnoreUnknown Foo\n{GOOD} Foo bar\n", True),
    "bad number": (f"{GOOD} ConnectTimeout soon\n", False),
    "equals signs": (GOOD.replace("Port P", "Port = P"), True),
    "capitals": (GOOD.replace("Port", "PORT").replace("HostName", "hostname"), True),
    "comment after a value": (GOOD.replace("127.0.0.1", "127.0.0.1 # the board"), True),
    "first value counts": (f"{GOOD} Port 1\n User nobody\n", True),
    "first value is wrong": (f"Host p*\n Port 1\n{GOOD}", False),
    "negated pattern": (f"Host * !pi\n Port 1\n{GOOD}", True),
    "pattern that is too short": (f"Host p\n Port 1\n{GOOD}", True),
    "token in the host name": (GOOD.replace("HostName 127.0.0.1", "HostName 127.0.0.1%%"), False),
    "token in a path": (GOOD.replace("D/user", "D/%r_user"), True),
    "variable in a path": (GOOD.replace("D/user", "${KEY_FOLDER}/user"), True),
    "quoted path": (GOOD.replace("D/user", '"D/a key"'), True),
    "path without quotes": (GOOD.replace("D/user", "D/a key"), False),
    "ConnectTimeout 1m": (f"{GOOD} ConnectTimeout 1m\n", True),
    "ConnectionAttempts": (f"{GOOD} ConnectionAttempts 3\n", True),
    "ServerAliveCountMax 0": (f"{GOOD} ServerAliveCountMax 0\n", True),
    "compression and ciphers": (f"{GOOD} Compression yes\n Ciphers aes256-ctr\n", True),
    "no common algorithm": (f"{GOOD} HostKeyAlgorithms ssh-rsa\n", False),
    "terminal by force": (f"{GOOD} RequestTTY force\n LogLevel QUIET\n", True),
    "address family": (f"{GOOD} AddressFamily inet6\n", False),
    "bound address": (f"{GOOD} BindAddress 127.0.0.1\n", True),
    "Match final all": (f"Match final all\n GSSAPIAuthentication yes\n{GOOD}", True),
    "Match host": (f"{AT}{TRUSTED}Match host 127.0.0.1\n{KEY}", True),
    "Match another host": (f"{AT}{TRUSTED}Match host 127.0.0.2\n{KEY} IdentityAgent none\n", False),
    "Match originalhost and user": (f"{AT}{TRUSTED}Match originalhost pi user USER\n{KEY}", True),
    "Match exec": (f'{NO_PORT}Match exec "test %n = pi"\n Port P\n', True),
    "Match exec that fails": (f'{NO_PORT}Match exec "false"\n Port P\nMatch all\n Port 1\n', False),
    "Include": (f"{AT}{TRUSTED}Include D/part.conf\n", True),
    "Include below Host": (f"{AT.replace(' Port P', '')}{TRUSTED} Include D/inc*\n", True),
    "Include below another Host": (f"{NO_PORT}Host other\n Include D/inc*\n", False),
    "ProxyCommand": (f"{GOOD} ProxyCommand D/nc %h %p\n", True),
    "ProxyCommand with %n": (
        f'{GOOD} ProxyCommand sh -c "test %n = pi && exec D/nc %h %p"\n',
        True,
    ),
    "ProxyCommand none": (f"{GOOD} ProxyCommand none\n", True),
    "ProxyCommand that fails": (f"{GOOD} ProxyCommand false\n", False),
    "ProxyJump": (
        f"{GOOD} ProxyJump jump\n{GOOD.replace('Host pi', 'Host jump')}",
        True,
    ),
    "ProxyJump that nobody trusts": (
        f"{GOOD} ProxyJump jump\n{known_in('nobody').replace('Host pi', 'Host jump')}",
        False,
    ),
    "unknown host": (known_in("nobody"), False),
    "unknown host, quietly": (f"{known_in('nobody')} LogLevel QUIET\n", False),
    "unknown host, not checked": (f"{known_in('nobody-1')} StrictHostKeyChecking no\n", True),
    "unknown host, accepted": (f"{known_in('nobody-2')} StrictHostKeyChecking accept-new\n", True),
    "unknown host, strict": (f"{known_in('nobody')} StrictHostKeyChecking yes\n", False),
    "unknown host on this machine": (
        f"{known_in('nobody')} NoHostAuthenticationForLocalhost yes\n",
        True,
    ),
    "known by a wildcard": (known_in("wildcard"), True),
    "known like everybody": (known_in("everybody"), True),
    "known by a pattern with a port": (known_in("with_port"), True),
    "known without its port": (known_in("without_port"), True),
    "known but for a negation": (known_in("negated"), False),
    "known by its authority": (known_in("authority"), True),
    "known by a hashed name": (known_in("hashed"), True),
    "known besides damaged lines": (known_in("damaged"), True),
    "known in the second file": (known_in("nobody D/known"), True),
    "known to the system": (
        AT + KEY + " UserKnownHostsFile /dev/null\n GlobalKnownHostsFile D/known\n",
        True,
    ),
    "known by its alias": (f"{known_in('alias')} HostKeyAlias board\n", True),
    "known to a command": (
        f'{known_in("nobody")} KnownHostsCommand /bin/cat "D/known"\n',
        True,
    ),
    "revoked": (known_in("revoked"), False),
    "changed": (known_in("changed"), False),
    "changed, not checked": (f"{known_in('changed')} StrictHostKeyChecking no\n", True),
    "key of a stranger": (STRANGER, False),
    "key of a stranger and a good one": (STRANGER + KEY, True),
    "key that is not there": (GOOD.replace("D/user", "D/nowhere"), False),
    "locked key": (f"{LOCKED} IdentityAgent none\n", False),
    "locked key, in the agent": (LOCKED, True),
    "public half, in the agent": (LOCKED.replace("D/locked", "D/locked.pub"), True),
    "IdentityAgent": (f"{AT.replace('yes', 'no')}{TRUSTED} IdentityAgent AGENT\n", True),
    "another agent": (f"{LOCKED} IdentityAgent D/nowhere\n", False),
    "certificate": (f"{AT}{TRUSTED} IdentityFile D/certified\n", True),
    "certificate by name": (
        f"{AT}{TRUSTED} IdentityFile D/USER_certified\n CertificateFile D/certified-cert.pub\n",
        True,
    ),
    "without its certificate": (f"{AT}{TRUSTED} IdentityFile D/USER_certified\n", False),
    "no public keys": (f"{GOOD} PubkeyAuthentication no\n", False),
    "passwords preferred": (f"{GOOD} PreferredAuthentications password\n", False),
    "passwords only": (GOOD.replace("P\n", "PASSWORDS\n", 1), False),
    "one session at a time": (GOOD.replace("P\n", "SINGLE\n", 1), True),
}


def test_there_are_enough() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("name", CASES)
def test_configuration(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, expected = CASES[name]
    config = tmp_path / "config"
    config.write_text(server.fill_in(text))
    monkeypatch.setenv("KEY_FOLDER", str(server.folder))
    monkeypatch.setenv("SSH_AUTH_SOCK", server.agent)
    ssh = subprocess.run(
        ["ssh", "-F", str(config), "-o", "BatchMode=yes", "pi", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ssh.returncode == 0) == expected, ssh.stderr
    for file in server.folder.glob("nobody-*"):
        file.unlink()
    assert logs_in(config, "openssh") == expected
    if not expected:  # else it may refuse what it does not support
        assert not logs_in(config, "paramiko")


def logs_in(config: Path, transport: str) -> bool:
    try:
        with connect("pi", config, transport=transport) as connection:
            return connection.run(["echo", "in"]).stdout == b"in\n"
    except BitatDeployError as error:
        print(transport, error)
        return False


@pytest.mark.parametrize("transport", ["openssh", "paramiko"])
def test_what_is_typed_comes_first(transport: str, server: Server, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(server.fill_in(GOOD).replace(f"Port {server.port}", "Port 1"))
    host = f"{getpass.getuser()}@pi:{server.port}"
    with connect(host, config, transport=transport) as connection:
        assert connection.run(["true"]).exit_code == 0
        assert connection.name == host
    with pytest.raises(BitatDeployError, match="refuses connections"):
        connect("pi", config, transport=transport)


def test_login_that_the_user_shares(server: Server, tmp_path: Path) -> None:
    # As with a second factor: logged in once, all else goes over that connection.
    shared = f" ControlMaster auto\n ControlPath {server.folder}/shared\n"
    config = tmp_path / "config"
    config.write_text(server.fill_in(GOOD) + shared)
    master = subprocess.Popen(["ssh", "-F", str(config), "-N", "pi"], stdin=subprocess.DEVNULL)
    try:
        while not (server.folder / "shared").exists():
            assert master.poll() is None
        config.write_text(server.fill_in(STRANGER) + shared)
        assert logs_in(config, "openssh")
        assert master.poll() is None  # it is the user's
    finally:
        master.terminate()
        master.wait()
    assert not logs_in(config, "openssh")
