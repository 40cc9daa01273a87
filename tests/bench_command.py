"""``bitat-deploy bench`` as a user runs it, in its own process."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ssh_devices import SshDevice

COMMAND = str(Path(sys.executable).with_name("bitat-deploy"))


@dataclass(frozen=True)
class Finished:
    """How a command ended; ``report`` is where it was told to write its JSON report."""

    exit_code: int
    stdout: str
    stderr: str
    report: Path

    def json(self) -> dict[str, Any]:
        """The report of a run that must have gone well."""
        assert self.exit_code == 0, self.stderr
        document: dict[str, Any] = json.loads(self.report.read_text())
        return document

    def assert_refused(self, exit_code: int, *words: str) -> None:
        """One clear sentence with all ``words``, that exit code, and nothing written."""
        everything = self.stdout + self.stderr
        assert self.exit_code == exit_code, everything
        assert "Traceback" not in everything
        sentences = [line for line in self.stderr.splitlines() if line.startswith("Error: ")]
        assert len(sentences) == 1, self.stderr
        assert self.stderr.strip().splitlines()[-1] == sentences[0]
        for word in words:
            assert word in sentences[0]
        assert not self.report.exists()


def start_bench(
    bundle: Path, device: SshDevice, report: Path, *options: str, enter: tuple[str, ...] = ()
) -> Any:
    """Start ``bench``, by means of the command ``enter``; end it with ``finish``."""
    arguments = ["bench", str(bundle), "--host", device.host, "-F", str(device.ssh_config)]
    arguments += ["--json", str(report), "--images", "200", *options]
    return subprocess.Popen(
        [*enter, COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: Any, report: Path) -> Finished:
    """Wait for the end of a started ``bench``."""
    stdout, stderr = process.communicate(timeout=300)
    return Finished(process.returncode, stdout, stderr, report)


def bench(
    bundle: Path, device: SshDevice, report: Path, *options: str, enter: tuple[str, ...] = ()
) -> Finished:
    """Run ``bench`` to its end."""
    return finish(start_bench(bundle, device, report, *options, enter=enter), report)


def listen_to_interrupts() -> None:
    """Undo what a shell does to jobs in the background, such as a test suite: deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
