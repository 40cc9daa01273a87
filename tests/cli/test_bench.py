"""``bitat-deploy bench`` on this machine, as a user runs it."""

import dataclasses
import json
import signal
import subprocess
import time
from pathlib import Path

import onnx
import pytest

from bitat_deploy.bundle import read_bundle
from bitat_deploy.bundle.bundle import MODEL_ONNX, describe_files, file_sha256, write_bundle
from bitat_deploy.errors import InputError, WrongAnswerError
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.report.formatting import duration
from tests.bench_command import COMMAND, listen_to_interrupts
from tests.drawn_networks import draw_network


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [COMMAND, "bench", "--images", "20", "--min-seconds", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_report(host_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    finished = bench(str(host_bundle), "--json", str(report))
    assert finished.returncode == 0, finished.stderr
    document = json.loads(report.read_text())
    assert document["schema_version"] == 1
    assert document["target"] == "host"
    assert document["model"]["name"] == "drawn"
    assert document["device"]["emulated"] is False
    assert document["accuracy"]["images"] == 20
    assert document["accuracy"]["differing_from_reference"] == 0
    assert 0 <= document["accuracy"]["top1"] <= 1
    assert {"mean", "std", "min", "p50", "p90", "p99", "max", "runs", "warmup"} <= set(
        document["latency_ms"]
    )
    assert document["memory"]["peak_rss_bytes"] > 0
    assert {"model_bytes", "bundle_bytes", "pushed_bytes"} <= set(document["size"])
    assert "EMULATED" not in finished.stdout
    assert duration(document["latency_ms"]["p50"]) in finished.stdout


def test_the_report_in_all_forms(host_bundle: Path, tmp_path: Path) -> None:
    files = {option: tmp_path / f"report.{option}" for option in ("json", "markdown", "html")}
    options = [part for option, file in files.items() for part in (f"--{option}", str(file))]
    finished = bench(str(host_bundle), "--profile", *options)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(files["json"].read_text())
    page = files["html"].read_text()
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org/", "")
    for text in (page, files["markdown"].read_text()):
        assert f"{document['accuracy']['top1']:.2%}" in text
        assert all(layer["name"] in text for layer in document["layers"])
    assert all(f"Report: {file}" in finished.stdout for file in files.values())
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    assert document["command"].startswith("bitat-deploy bench --images 20")
    assert "kernel" not in finished.stdout  # in all of the report, with -v


def test_json_on_standard_output_and_a_log(host_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "bench.log"
    finished = bench(str(host_bundle), "--json", "-", "-v", "--log", str(log))
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["accuracy"]["images"] == 20
    assert "top-1 accuracy" in finished.stderr and "sha256 of the ONNX" in finished.stderr
    lines = log.read_text().splitlines()
    assert all("local: " in line for line in lines)
    assert "connecting" in lines[0] and "closed" in lines[-1]
    assert any("$ " in line and "runner" in line for line in lines)
    assert sum("exit code 0 after" in line for line in lines) > 3
    assert all(line in finished.stderr for line in lines)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--json", "-", "--html", "-"], "Only one of --json, --markdown and --html can be '-'"),
        (["--log", "missing/bench.log"], "--log needs a file name in a folder that exists"),
    ],
)
def test_outputs_are_checked_first(host_bundle: Path, options: list[str], said: str) -> None:
    finished = bench(str(host_bundle), *options)
    assert finished.returncode != 0
    assert said in " ".join(finished.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["{folder}"], "not a bundle"),
        (["{bundle}", "--json", "{folder}/nowhere/report.json"], "--json"),
        (["{bundle}", "--data", "{folder}"], "{folder}"),
        (["{bundle}", "--host", "pi@device:port"], "user@host"),
        (["{bundle}", "--host", "pi@device", "-F", "{folder}/nowhere"], "nowhere"),
    ],
)
def test_bad_input(arguments: list[str], word: str, host_bundle: Path, tmp_path: Path) -> None:
    finished = bench(*(text.format(folder=tmp_path, bundle=host_bundle) for text in arguments))
    assert finished.returncode == InputError.exit_code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert word.format(folder=tmp_path) in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_answers_otherwise_fails(host_bundle: Path, tmp_path: Path) -> None:
    honest = read_bundle(host_bundle)
    other = tmp_path / "other.onnx"
    onnx.save(to_onnx(draw_network(2, (28, 28, 1), (16, 2), ((32, 2), (32, 1)))), other)
    contents = {file.path: host_bundle / file.path for file in honest.manifest.files}
    contents[MODEL_ONNX] = other
    model = dataclasses.replace(honest.manifest.model, sha256=file_sha256(other))
    manifest = dataclasses.replace(honest.manifest, model=model, files=describe_files(contents))
    write_bundle(tmp_path / "bundle", manifest, contents)
    finished = bench(str(tmp_path / "bundle"))
    assert finished.returncode == WrongAnswerError.exit_code, finished.stderr
    assert "predictions differ" in finished.stderr
    assert "NOT equal" in finished.stdout


def test_mlperf_fixes_how_long_to_measure(host_bundle: Path) -> None:
    finished = bench(str(host_bundle), "--mlperf")
    assert finished.returncode == 2
    assert "leave out --min-seconds" in finished.stderr


def test_interrupt_leaves_nothing_running(host_bundle: Path, own_cache: Path) -> None:
    command = [COMMAND, "bench", str(host_bundle), "--images", "20", "--min-seconds", "100"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=listen_to_interrupts
    )
    runs = own_cache / "bitat-deploy" / "runs"
    wait_for(lambda: runners(runs))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert list(runs.iterdir()) == []
    wait_for(lambda: not runners(runs))


def runners(runs: Path) -> list[Path]:
    """Processes that run the runner of one of ``runs``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "exe").readlink().is_relative_to(runs):
                found.append(process)
        except OSError:
            continue
    return found


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
