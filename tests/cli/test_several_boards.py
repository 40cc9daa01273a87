"""``bitat-deploy bench`` with several boards, over real SSH, as a user runs it."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from bitat_deploy.cli.inventory import read_inventory
from bitat_deploy.cli.project_file import read_project
from bitat_deploy.device.boards import Board
from bitat_deploy.errors import ConnectionFailedError, InputError
from tests.bench_command import COMMAND, listen_to_interrupts
from tests.cli.test_bench import runners, wait_for
from tests.ssh_devices import LocalSshd, free_port


def bench(device: LocalSshd, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [COMMAND, "bench", "-F", str(device.ssh_config), "--images", "20"]
    command += ["--min-seconds", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_two_boards(local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path) -> None:
    hosts = ["--host", "local", "--host", local_sshd.host]
    report = tmp_path / "report.json"
    finished = bench(local_sshd, str(host_bundle), *hosts, "--json", str(report))
    assert finished.returncode == 0, finished.stderr
    assert "Boards" in finished.stdout
    written = {json.loads(path.read_text())["device"]["name"] for path in tmp_path.iterdir()}
    assert written == {"local", local_sshd.host}
    assert (tmp_path / "report.local.json").is_file()


def test_failure_of_one_does_not_stop_the_other(
    local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path
) -> None:
    inventory = tmp_path / "boards.yaml"
    inventory.write_text(
        f"- {{host: 'root@127.0.0.1:{free_port()}', bundle: bundle}}\n"
        f"- {{host: '{local_sshd.host}', name: kitchen, bundle: bundle}}\n"
    )
    (tmp_path / "bundle").symlink_to(host_bundle)
    finished = bench(
        local_sshd, "--inventory", str(inventory), "--json", str(tmp_path / "report.json")
    )
    assert finished.returncode == ConnectionFailedError.exit_code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert "failed: " in finished.stdout and "refuses connections" in finished.stdout
    assert "1 of 2 boards failed" in finished.stderr
    document = json.loads((tmp_path / "report.kitchen.json").read_text())
    assert document["accuracy"]["images"] == 20
    assert [path.name for path in tmp_path.glob("report*")] == ["report.kitchen.json"]


def test_interrupt_leaves_nothing_on_any_board(
    local_sshd: LocalSshd, host_bundle: Path, own_cache: Path
) -> None:
    hosts = ["--host", "local", "--host", local_sshd.host]
    command = [COMMAND, "bench", str(host_bundle), *hosts, "-F", str(local_sshd.ssh_config)]
    process = subprocess.Popen(
        [*command, "--images", "20", "--min-seconds", "100"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_interrupts,
    )
    runs = [own_cache / "bitat-deploy" / "runs", local_sshd.home / ".cache/bitat-deploy/runs"]
    wait_for(lambda: all(runners(folder) for folder in runs))
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in errors
    for folder in runs:
        wait_for(lambda folder=folder: not runners(folder))
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a list of boards"),
        ("host: pi@a", "not a list of boards"),
        ("- [pi@a]", "entry 1"),
        ("- pi@a\n- {name: b}", "entry 2"),
        ("- {host: pi@a, bord: b}", "entry 1"),
        ("- {host: 5}", "entry 1"),
        ("- pi@a\n- pi-a", "twice"),
        ("- {", "not YAML"),
        ("\x00", "not YAML"),
        ("- {host: pi@a, bundle: ~nobody-2/x}", "an unknown user"),
        ("- {host: pi@a, name: ../x}", "name of entry 1"),
        ("- &a pi@a\n- *a", "alias"),
    ],
)
def test_bad_inventories(text: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "boards.yaml").write_text(text)
    with pytest.raises(InputError, match=word):
        read_inventory(tmp_path / "boards.yaml")


def test_inventory_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "boards.yaml").write_text("- pi@a\n- {host: pi@b, name: b, bundle: builds/b}\n")
    assert read_inventory(tmp_path / "boards.yaml") == [
        Board("pi@a", "pi@a"),
        Board("pi@b", "b", tmp_path / "builds" / "b"),
    ]


def test_project_file_with_several_hosts(
    local_sshd: LocalSshd, host_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bitat.yaml").write_text(f"host: [local, '{local_sshd.host}']\n")
    assert read_project().host == ["local", local_sshd.host]
    finished = bench(local_sshd, str(host_bundle))
    assert finished.returncode == 0, finished.stderr
    assert "Boards" in finished.stdout
    doctor = subprocess.run([COMMAND, "doctor"], capture_output=True, text=True)
    assert doctor.returncode == InputError.exit_code
    assert "choose one with --host" in doctor.stderr
