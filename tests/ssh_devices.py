"""Devices that the tests reach over real SSH: the virtual Pi and a private sshd on this machine."""

import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

VIRTUAL_PI = Path(__file__).parents[1] / "scripts" / "virtual-pi"


@dataclass(frozen=True)
class SshDevice:
    """What a test needs to log in: ``host`` is ``user@127.0.0.1:port``, ``ssh_config`` goes to -F.

    ``state`` is a folder on this machine that holds the device's keys and configuration.
    """

    host: str
    ssh_config: Path
    state: Path

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a shell command on the device and return what it printed."""
        finished = subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", "127.0.0.1", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or finished.returncode == 0, finished.stderr
        return finished.stdout


@dataclass(frozen=True)
class VirtualPi(SshDevice):
    """A virtual Pi of its own name, see ``scripts/virtual-pi``."""

    def switch_off(self) -> None:
        """Pull the plug: the machine is gone in an instant."""
        process = self._process()
        os.kill(process, signal.SIGKILL)
        while Path(f"/proc/{process}").exists():
            time.sleep(0.05)

    def switch_off_and_on(self) -> None:
        """Pull the plug and put it in again. Its disk is then as new, as always."""
        command = Path(f"/proc/{self._process()}/cmdline").read_text().rstrip("\0").split("\0")
        self.switch_off()
        (self.state / "console").unlink()
        _output(command)

    def wait_until_up(self) -> None:
        """Wait for its SSH server."""
        deadline = time.monotonic() + 120
        while "Server listening" not in (self.state / "console").read_text(errors="replace"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        self.run("true")

    def _process(self) -> int:
        return int((self.state / "pid").read_text())


@dataclass(frozen=True)
class LocalSshd(SshDevice):
    """OpenSSH's server as this user; its sessions live in ``home`` and look in ``programs`` first.

    A program put into ``programs`` therefore shadows the system's, for the sessions only.
    """

    home: Path
    programs: Path
    process: subprocess.Popen[bytes]

    def drop_connections(self) -> None:
        """Kill every session, as if the device had lost its network."""
        for child in _children(self.process.pid):
            for grandchild in _children(child):
                _kill(grandchild)
            _kill(child)


@contextmanager
def virtual_pi(name: str, *options: str) -> Iterator[VirtualPi]:
    """Start a virtual Pi and switch it off at the end."""
    arguments = [str(VIRTUAL_PI), "--name", name, *options]
    try:
        yield _read_virtual_pi(_output([*arguments, "up"]))
    finally:
        _output([*arguments, "down"])


def running_virtual_pi() -> VirtualPi | None:
    """The contributor's own virtual Pi, if it is up."""
    finished = subprocess.run([str(VIRTUAL_PI), "status"], capture_output=True, check=False)
    return _read_virtual_pi(finished.stdout.decode()) if finished.returncode == 0 else None


@contextmanager
def local_sshd(state: Path, options: str = "") -> Iterator[LocalSshd]:
    """Start an sshd on a free port of 127.0.0.1; all its files are in the empty folder ``state``.

    ``options`` are lines of sshd_config that go before the others. The home of its
    sessions is a folder in ``state`` too, so that they leave the user's alone.
    """
    home, programs = state / "home", state / "programs"
    home.mkdir()
    programs.mkdir()
    for key in ("host_key", "user_key"):
        make_key(state / key)
    session = state / "session"
    session.write_text(
        "#!/bin/sh\n"
        f"export HOME={shlex.quote(str(home))} PATH={shlex.quote(str(programs))}:$PATH\n"
        "unset XDG_CACHE_HOME\n"
        'cd && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    session.chmod(0o755)
    port = free_port()
    write_sshd_config(state, port, options)
    (state / "known_hosts").write_text(f"127.0.0.1 {(state / 'host_key.pub').read_text()}")
    write_ssh_config(state, port, state)
    with running_sshd(state, port) as process:
        device = LocalSshd(
            host=f"{getpass.getuser()}@127.0.0.1:{port}",
            ssh_config=state / "ssh_config",
            state=state,
            home=home,
            programs=programs,
            process=process,
        )
        try:
            yield device
        finally:
            device.drop_connections()


@contextmanager
def local_dropbear(state: Path) -> Iterator[SshDevice]:
    """Start dropbear on a free port of 127.0.0.1; its sessions have busybox and nothing else.

    It takes its files from the user's home, so it gets a view of its own in which that is a folder
    in ``state``. Skips where that cannot be, or where one of the programs is not installed.
    """
    programs = ("dropbear", "dropbearkey", "busybox", "unshare")
    if os.geteuid() != 0 or None in map(shutil.which, programs):
        pytest.skip(f"needs root and the programs {', '.join(programs)}")
    home = state / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (state / "programs").mkdir()
    _output(["busybox", "--install", "-s", str(state / "programs")])
    make_key(state / "user_key")
    (home / ".ssh" / "authorized_keys").write_bytes((state / "user_key.pub").read_bytes())
    described = _output(["dropbearkey", "-t", "ed25519", "-f", str(state / "host_key")])
    key = next(line for line in described.splitlines() if line.startswith("ssh-"))
    (state / "known_hosts").write_text(f"127.0.0.1 {key}\n")
    session = state / "session"
    session.write_text(
        f"#!/bin/sh\nexport PATH={shlex.quote(str(state / 'programs'))}\n"
        'cd && exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    session.chmod(0o755)
    port = free_port()
    write_ssh_config(state, port, state)
    serve = f"dropbear -F -E -s -p 127.0.0.1:{port} -P '' -r {state}/host_key -c {session}"
    script = f"mount --bind {home} {shlex.quote(str(Path.home()))} && exec {serve}"
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stderr=log)
    try:
        _wait_for_port(port)
        yield SshDevice(f"{getpass.getuser()}@127.0.0.1:{port}", state / "ssh_config", state)
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def dropbear_on_pi(pi: VirtualPi, folder: Path) -> Iterator[SshDevice]:
    """Start dropbear on a virtual Pi, reached through its sshd.

    Its sessions have busybox and nothing else: no getconf, for one. Files are in ``folder`` here,
    and in ``~/small`` there.
    """
    pi.run("mkdir -p small/programs && busybox --install -s small/programs")
    described = pi.run("cd small && rm -f key && dropbearkey -t ed25519 -f key")
    key = next(line for line in described.splitlines() if line.startswith("ssh-"))
    session = (
        '#!/bin/sh\nexport PATH=$HOME/small/programs\ncd && exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    pi.run(f"cd small && printf %s {shlex.quote(session)} > session && chmod 755 session")
    serve = '-F -E -s -p 127.0.0.1:2200 -r small/key -P small/pid -c "$HOME/small/session"'
    pi.run(f"setsid /usr/sbin/dropbear {serve} > small/log 2>&1 < /dev/null &")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:2200 {key}\n")
    (folder / "ssh_config").write_text(
        "Host 127.0.0.1\n"
        "  Port 2200\n"
        "  User pi\n"
        f"  ProxyCommand ssh -F {pi.ssh_config} -W 127.0.0.1:2200 127.0.0.1\n"
        f"  IdentityFile {pi.state}/user_key\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n"
        "  StrictHostKeyChecking yes\n"
        "  ConnectTimeout 60\n"
    )
    try:
        yield SshDevice("pi@127.0.0.1", folder / "ssh_config", folder)
    finally:
        pi.run("kill $(cat small/pid)")


@contextmanager
def running_sshd(state: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run sshd with ``state/sshd_config``, which has it listen on ``port``."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to run as root without it
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-f", str(state / "sshd_config"), "-E", str(state / "sshd.log")]
    )
    try:
        _wait_for_port(port)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def make_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> None:
    """Make a key ``path``, and its public half beside it."""
    _output(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)])


def processes_in(folder: Path) -> list[int]:
    """Processes of this machine whose working folder is ``folder``, or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_sshd_config(state: Path, port: int, options: str = "") -> None:
    (state / "sshd_config").write_text(
        f"{options}"
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {state}/host_key\n"
        f"AuthorizedKeysFile {state}/user_key.pub\n"
        "StrictModes no\n"
        "UsePAM no\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "PidFile none\n"
        f"ForceCommand {state}/session\n"
        "Subsystem sftp /usr/lib/openssh/sftp-server\n"
    )


def write_ssh_config(folder: Path, port: int, state: Path, address: str = "127.0.0.1") -> None:
    """Write ``folder/ssh_config`` for a port that leads to the device with that ``state``."""
    trusted = (state / "known_hosts").read_text().split()[1:3]
    (folder / "known_hosts").write_text(f"[{address}]:{port} {' '.join(trusted)}\n")
    (folder / "ssh_config").write_text(
        f"Host {address}\n"
        f"  Port {port}\n"
        f"  IdentityFile {state}/user_key\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  ConnectTimeout 10\n"
    )


def _read_virtual_pi(description: str) -> VirtualPi:
    lines = dict(line.split(": ", 1) for line in description.splitlines() if ": " in line)
    ssh_config = Path(lines["ssh config"])
    return VirtualPi(host=lines["host"], ssh_config=ssh_config, state=ssh_config.parent)


def _output(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{command} failed:\n{finished.stdout}{finished.stderr}"
    return finished.stdout


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"sshd does not listen on port {port}")


def _children(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
