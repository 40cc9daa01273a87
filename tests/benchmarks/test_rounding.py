"""The table of ways to round: its rows are measured once, and it goes on where it was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import rounding, static_int8
from benchmarks.rounding_page import rounding_section
from bitat_deploy.errors import InputError
from bitat_deploy.training.checkpoint import load_checkpoint
from bitat_deploy.training.data import ImageSet, images_to_tensor
from bitat_deploy.training.post_training import quantization_images
from bitat_deploy.training.progress import TrainingProgress
from bitat_deploy.training.twin import finished_network
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
    digest = rounding.data_digest(photos, test)
    facts = {"network": "drawn", "split": "test", "test_images": len(test), "data_sha256": digest}
    document = rounding.begin_document(output, path, facts) | {"reference": 0.25}
    for row in rows[:6:3]:  # nearest, descent
        record = rounding.measured(row, run, path, photos, test, TrainingProgress())
        share = record["top1"]
        assert record["standard_error"] ** 2 == pytest.approx(share * (1 - share) / 12)
        assert (record["images"], record["evaluation"]) == (10, "integer")
        document["rows"].append(record)
        rounding.write(document, output)
    again = rounding.begin_document(output, path, facts)
    assert again == json.loads(json.dumps(document))
    assert rounding.missing(again, rows) == [rows[1], rows[2], *rows[4:]]
    page = output.with_suffix(".md").read_text()
    assert "with real weights: 25.00 % on 12 test images" in page
    assert "| top-1 [%], activations of 4 bits | W2 |" in page
    assert page.count(" ± ") == 2
    with pytest.raises(InputError, match="of another checkpoint"):
        rounding.begin_document(output, output, facts)
    other = facts | {"data_sha256": rounding.data_digest(photos[1:], test)}
    with pytest.raises(InputError, match="is of other images"):
        rounding.begin_document(output, path, other)


def test_choices_are_made_on_images_held_out(tmp_path: Path) -> None:
    for number, name in enumerate(CLASSES):
        draw_photos(tmp_path / "data" / "train" / name, 8, number)
        draw_photos(tmp_path / "data" / "test" / name, 1, 9)
    data = {"batch_size": 8, "image_size": 16, "validation_images": 6}
    run = load_checkpoint(checkpoint(tmp_path / "twin.pt", data=data))
    photos, held = rounding.validation_images(run, tmp_path / "data", 10, 1)
    assert (len(photos), len(held)) == (10, 6)
    drawn = {image.numpy().tobytes() for image in photos}
    assert len(drawn) == 10
    assert not drawn & {image.numpy().tobytes() for image in held.images}


def test_onnx_runtime_computes_what_the_network_does(tmp_path: Path) -> None:
    """Exported in full precision, with the pads of signs too; then in 8 bits."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (300, 16, 16, 3), dtype=torch.uint8, generator=generator)
    for quantizer in ("uniq", "sign"):
        path = checkpoint(tmp_path / f"{quantizer}.pt", quantization={"quantizer": quantizer})
        network = finished_network(load_checkpoint(path))
        with torch.no_grad():
            labels = network(images_to_tensor(images)).argmax(dim=1)
        test = ImageSet(images, labels)
        static_int8.export_real(network, tmp_path / "real.onnx")
        assert static_int8.onnx_top1(tmp_path / "real.onnx", test) > 0.99
        int8 = static_int8.static_int8_top1(network, images[:100], test)
        assert int8.top1 > 0.7 and int8.setting


def test_the_lead_is_that_over_the_best_other_way(tmp_path: Path) -> None:
    """Of each network; with several the mean, and the range."""
    title = "shapes: [{title: signs, reports: [1.json, 2.json]}]"
    (tmp_path / "r.yaml").write_text(f"text: t\nnetworks: []\n{title}\nfindings: f\n")
    reached = {"nearest": 0.2, "adaround": 0.4, "gptq": 0.5, "stream": 0.7}
    for name, change in (("1", {}), ("2", {"adaround": 0.6})):
        rows = [
            {"weights": 1, "activations": 8, "method": way, "top1": top1}
            for way, top1 in (reached | change).items()
        ]
        rows.append({"weights": 2, "activations": 8, "method": "stream", "top1": 1.0})
        document = {"reference": 0.9, "rows": rows}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    line = next(line for line in rounding_section(tmp_path / "r.yaml", tmp_path) if "signs" in line)
    assert line == (
        "| signs | 90.00 (90.00 to 90.00) | 20.00 (20.00 to 20.00) | 50.00 (40.00 to 60.00) "
        "| 50.00 (50.00 to 50.00) |  | 70.00 (70.00 to 70.00) | 15.00 (10.00 to 20.00) |"
    )
    (tmp_path / "2.json").write_text(json.dumps({"reference": 0.9, "rows": rows[:1]}))
    with pytest.raises(InputError, match="has no row of adaround, gptq, stream at W1A8"):
        rounding_section(tmp_path / "r.yaml", tmp_path)
    (tmp_path / "1.json").unlink()
    with pytest.raises(InputError, match="is not there; scripts/compare-rounding --json makes it"):
        rounding_section(tmp_path / "r.yaml", tmp_path)
