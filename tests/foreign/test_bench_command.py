"""A file from elsewhere is measured without data, and with a folder of pictures."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.target import load_target
from tests.bench_command import COMMAND
from tests.foreign.drawn_models import Model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network of grey rectangles to four classes, which names no data set."""
    folder = tmp_path_factory.mktemp("bench")
    model = Model((1, 9, 14))
    model.conv(8, pads=[1] * 4)
    path = model.classify(classes=4).save(folder)
    build_bundle(path, load_target("host"), folder / "bundle")
    return folder / "bundle"


def bench(bundle: Path, report: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was printed, and the report."""
    options = ["--min-seconds", "0", "--warmup", "1", "--min-runs", "3", "--json", str(report)]
    command = [COMMAND, "bench", str(bundle), *options, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    written = json.loads(report.read_text()) if done.returncode == 0 else {}
    return done.returncode, done.stdout + done.stderr, written


def photos(folder: Path, classes: int) -> Path:
    random = np.random.default_rng(0)
    for index in range(classes):
        (folder / f"class{index}").mkdir(parents=True)
        pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"class{index}" / "photo.png")
    return folder


def test_without_data_answers_are_compared_on_drawn_pictures(bundle: Path, tmp_path: Path) -> None:
    page, text = tmp_path / "report.html", tmp_path / "report.md"
    files = ["--html", str(page), "--markdown", str(text)]
    status, words, report = bench(bundle, tmp_path / "report.json", "--images", "30", *files)
    assert status == 0, words
    assert report["dataset"] == "drawn pictures" and report["latency_ms"]["p50"] > 0
    accuracy = report["accuracy"]
    assert "top1" not in accuracy and accuracy["images"] == 30 and accuracy["logits_equal"]
    for shown in (words, page.read_text(), text.read_text()):
        assert "not measured: no labels" in shown and "top-1 accuracy" not in shown
    same = [str(tmp_path / "report.json")] * 2
    compared = subprocess.run([COMMAND, "compare", *same], capture_output=True, text=True)
    assert compared.returncode == 0 and "accuracy" not in compared.stdout


def test_a_folder_of_pictures_gives_accuracy(bundle: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", 4)
    status, words, report = bench(bundle, tmp_path / "report.json", "--data", str(data))
    assert status == 0, words
    assert report["dataset"] == "image-folder" and report["accuracy"]["images"] == 4
    assert report["accuracy"]["top1"] in (0, 0.25, 0.5, 0.75, 1)


def test_a_folder_of_more_classes_is_refused(bundle: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", 6)
    status, words, _ = bench(bundle, tmp_path / "report.json", "--data", str(data))
    assert status == 3
    assert "has 6 classes, the network 4 without names" in words
