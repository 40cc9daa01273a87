"""The table of ways to round: its rows are measured once, and it goes on where it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import rounding
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.post_training import quantization_images
from bitat_deploy.training.progress import TrainingProgress
from tests.training.post_training.small_runs import CLASSES, checkpoint, draw_photos


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(rounding, "STEPS", 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_rows_are_measured_once(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            draw_photos(tmp_path / "data" / split / name, 4, number)
    path, output = checkpoint(tmp_path / "twin.pt"), tmp_path / "rounding.json"
    run = load_checkpoint(path)
    photos, test = quantization_images(run, tmp_path / "data", 10, 1)
    rows = [row for row in rounding.rows_of([4], [1]) if row.weights == 2]
    assert [row.method for row in rows] == list(rounding.METHODS)
    facts = {"network": "drawn", "test_images": len(test), "reference": 0.25}
    document = rounding.begin_document(output, path, facts)
    for row in rows[::3]:  # nearest, descent
        record = rounding.measured(row, run, path, photos, test, TrainingProgress())
        share = record["top1"]
        assert record["standard_error"] ** 2 == pytest.approx(share * (1 - share) / 12)
        assert (record["images"], record["evaluation"]) == (10, "integer")
        document["rows"].append(record)
        rounding.write(document, output)
    again = rounding.begin_document(output, path, {})
    assert again == json.loads(json.dumps(document))
    assert rounding.missing(again, rows) == [rows[1], rows[2], *rows[4:]]
    page = output.with_suffix(".md").read_text()
    assert "with real weights: 25.00 % on 12 test images" in page
    assert "| | W2 |" in page
    assert page.count(" ± ") == 3  # the heading, and two rows
    with pytest.raises(InputError, match="of another checkpoint"):
        rounding.begin_document(output, output, {})
