"""The scripts that compare whole networks run, at a small size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.datasets.idx_files import write_folder
from tests.training.post_training.small_runs import CLASSES, checkpoint, draw_photos

SCRIPTS = Path(__file__).parents[2] / "scripts"


def _run(script: str, output: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    command = [sys.executable, str(SCRIPTS / script), "--size", "32", "--network", "mobilenet-v1"]
    command += ["--json", str(output), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, json.loads(output.read_text())


@pytest.mark.parametrize(
    "command",
    [
        "check-cycle-model --list",
        "choose-arithmetic --help",
        "compare-methods --list",
        "compare-rounding --list",
        "choose-bits --help",
        "make-records --help",
        "model-cycles --help",
    ],
)
def test_the_others_begin(command: str, tmp_path: Path) -> None:
    script, option = command.split()
    subprocess.run([sys.executable, SCRIPTS / script, option], check=True, cwd=tmp_path)


def test_ways_of_rounding_see_the_middle_of_larger_photos(tmp_path: Path) -> None:
    data = {"batch_size": 16, "image_size": 20, "crop": 16}
    path = checkpoint(tmp_path / "twin.pt", data=data)
    for split, count in (("train", 12), ("test", 4)):
        for name in CLASSES:
            draw_photos(tmp_path / "photos" / split / name, count)
    command = [sys.executable, str(SCRIPTS / "compare-rounding"), str(path), "--threads", "1"]
    command += ["--data", str(tmp_path / "photos"), "--only", "w1a8-nearest-seed1"]
    subprocess.run([*command, "--json", str(tmp_path / "json")], check=True)
    document = json.loads((tmp_path / "json").read_text())
    assert document["test_images"] == 12
    assert 0 <= document["onnxruntime_int8"] <= 1
    assert [row["method"] for row in document["rows"]] == ["nearest"]


def test_the_programme_for_a_gpu_runs_on_a_processor_too(tmp_path: Path) -> None:
    """As long as nobody has a GPU here: its commands, its time limit, and that it goes on."""
    script = [sys.executable, str(SCRIPTS / "train-on-gpu"), "--compare", "none"]
    script += ["--recipes", "smoke", "--data", str(write_folder(tmp_path / "data"))]
    if not torch.cuda.is_available():
        refused = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert refused.returncode == 1
        assert "sees no GPU" in refused.stderr
    script.append("--allow-cpu")
    command = [*script, "--minutes", "0"]
    over = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert over.returncode == 1
    assert "the same command goes on" in over.stdout
    subprocess.run(script, check=True, cwd=tmp_path)
    assert (tmp_path / "runs" / "smoke" / "report.json").is_file()


def test_bench_models(tmp_path: Path) -> None:
    text, document = _run("bench-models", tmp_path / "json", "--rounds", "1", "--threads", "1")
    assert "bit for bit" in text
    ours, *others = document["results"]
    assert ours["arithmetic"] == "W1A1"
    assert {"float32", "int8"} <= {other["arithmetic"] for other in others}
    assert all(0 < result["min_ms"] <= result["median_ms"] for result in document["results"])
    assert document["targets"] == []  # they are for 224x224
    assert document["context"]["cores"] >= 1


def test_count_instructions(tmp_path: Path) -> None:
    text, document = _run("count-instructions", tmp_path / "json")
    assert "mobilenet-v1" in text
    counts = {result["arithmetic"]: result["instructions"] for result in document["results"]}
    # Every one has to fetch at least its packed weights, 16 bytes at a time.
    assert 0.4e6 / 16 < counts["W1A1"] < counts["int8"] < counts["float32"]
