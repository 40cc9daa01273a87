"""``bitat-deploy tune`` as a user runs it, in its own process."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.bench_command import COMMAND, listen_to_interrupts
from tests.ssh_devices import SshDevice


def start_tune(model: Path, records: Path, *options: str) -> "subprocess.Popen[str]":
    """Start ``tune``; a single process builds, as tests run side by side."""
    return subprocess.Popen(
        [COMMAND, "tune", str(model), "--records", str(records), "--jobs", "1", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=listen_to_interrupts,
    )


def tune(model: Path, records: Path, *options: str) -> str:
    """Run ``tune`` to its end, which must be a good one; what it printed."""
    process = start_tune(model, records, *options)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    return stdout


def on(device: SshDevice, target: str = "host") -> list[str]:
    """Options to tune on a device, however unsteady it is."""
    options = ["--target", target, "--host", device.host, "-F", str(device.ssh_config)]
    return [*options, "--max-noise", "1000"]


def read_lines(records: Path) -> list[dict[str, Any]]:
    """The records of a file, whole lines only."""
    if not records.exists():
        return []
    return [
        json.loads(line) for line in records.read_text().splitlines(keepends=True) if "\n" in line
    ]


def candidates(records: Path) -> list[tuple[str, str]]:
    """Workload and schedule of each candidate that was measured, the defaults left out."""
    lines = [line for line in read_lines(records) if line["schedule"] != "default"]
    return [(line["workload"], json.dumps(line["schedule"])) for line in lines]


def assert_refused(process: "subprocess.Popen[str]", exit_code: int, *words: str) -> None:
    """One clear sentence with all ``words``, and that exit code."""
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == exit_code, stdout + stderr
    assert "Traceback" not in stdout + stderr
    sentences = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1, stderr
    for word in words:
        assert word in sentences[0]
