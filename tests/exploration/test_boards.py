"""``bitat-deploy explore`` with latencies measured over SSH, on the virtual Pi."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bitat_deploy.exploration.boards import _Queue
from tests.exploration.pictures import write_candidates, write_photos
from tests.fragile_link import fragile
from tests.ssh_devices import VirtualPi

SMALL = """
shapes:
  small: {architecture: mobilenet-v1, block: chain, stem_channels: 16, blocks: [[32, 2]]}
widths: [1.0]
image_sizes: [16]
bits: [{weights: 1, activations: 1}, {weights: 8, activations: 8}]
float_rows: false
training: {epochs: 4}
"""


def test_what_a_lost_board_took_another_takes() -> None:
    queue, taken = _Queue(["one", "two"]), []
    holds, lost = threading.Event(), threading.Event()

    def work_of_lost_board() -> None:
        name = queue.take()
        assert name == "one"
        with pytest.raises(OSError), queue.returned_unless_done(name):
            holds.set()
            assert lost.wait(60)
            raise OSError

    def work_of_other() -> None:
        while (name := queue.take()) is not None:
            with queue.returned_unless_done(name):
                taken.append(name)
                lost.set()

    first = threading.Thread(target=work_of_lost_board)
    first.start()
    assert holds.wait(60)
    second = threading.Thread(target=work_of_other)
    second.start()
    first.join()
    second.join()
    assert taken == ["two", "one"]
    assert queue.empty


def test_nobody_waits_for_a_closed_queue() -> None:
    queue = _Queue(["one"])
    assert queue.take() == "one"
    waiter = threading.Thread(target=queue.take)
    waiter.start()
    queue.close()
    waiter.join(60)
    assert not waiter.is_alive()


@pytest.mark.slow
@pytest.mark.virtual_pi
def test_killed_once_and_one_board_lost(virtual_pi: VirtualPi, tmp_path: Path) -> None:
    """The first command measures on one of two boards, as the other is lost, and is killed while
    it trains. The second needs no board."""
    photos = write_photos(tmp_path / "photos")
    candidates = write_candidates(tmp_path / "candidates.yaml", SMALL)
    output, link_folder, config = tmp_path / "out", tmp_path / "link", tmp_path / "ssh_config"
    link_folder.mkdir()
    words = ["explore", "--data", str(photos), "--candidates", str(candidates), "--jobs", "1"]
    words += ["--output", str(output), "-F", str(config), "--no-baseline"]
    script = "from bitat_deploy.cli import main; main()"
    with fragile(virtual_pi, link_folder, limit=8000, address="127.0.0.2") as (second, _):
        config.write_text(virtual_pi.ssh_config.read_text() + second.ssh_config.read_text())
        command = [sys.executable, "-c", script, *words]
        command += ["--host", virtual_pi.host, "--host", second.host]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        while not list(output.glob("twins/*/validation.json")):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    printed = (tmp_path / "log").read_text()
    assert f"'{second.host}' dropped out: " in printed
    assert printed.count(f" on {virtual_pi.host}") == 2
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert " on pi@" not in finished.stderr
    document = json.loads((output / "report.json").read_text())
    assert document["target"]["name"] == "rpi4"  # whose processor is emulated
    assert not document["modelled"]
    assert document["emulated"]
    assert finished.stdout.count("EMULATED") > 2
    assert all(one["state"] == "trained in full" for one in document["networks"])
