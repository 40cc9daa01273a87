"""``bitat-deploy run`` over real SSH."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bitat_deploy.bundle import read_bundle, remember_last_build
from bitat_deploy.cli.main import cli
from bitat_deploy.datasets.pictures import load_picture
from bitat_deploy.device import classify, connect
from bitat_deploy.errors import InputError
from bitat_deploy.network import Preprocessing
from bitat_deploy.onnx_format import reference_logits
from tests.ssh_devices import LocalSshd


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A grey picture of the network's size and a large one in colour."""
    generator = np.random.default_rng(1)
    grey, colour = tmp_path / "grey.png", tmp_path / "colour.jpg"
    Image.fromarray(generator.integers(256, size=(28, 28), dtype=np.uint8)).save(grey)
    Image.fromarray(generator.integers(256, size=(90, 60, 3), dtype=np.uint8)).save(colour)
    return [grey, colour]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["run", *map(str, arguments)])


def test_pictures_by_ssh(local_sshd: LocalSshd, host_bundle: Path, pictures: list[Path]) -> None:
    result = run(host_bundle, "--host", local_sshd.host, "-F", local_sshd.ssh_config, *pictures)
    assert result.exit_code == 0, result.output
    images = np.stack([load_picture(path, (28, 28, 1), Preprocessing()) for path in pictures])
    logits = reference_logits(host_bundle / "model.onnx", images)
    positions = [result.stdout.index(path.name) for path in pictures]
    answers = [result.stdout[positions[0] : positions[1]], result.stdout[positions[1] :]]
    for answer, row in zip(answers, logits, strict=True):
        best = np.sort(row)[::-1][:5]
        shown = [line.split()[-1] for line in answer.splitlines() if "%" in line]
        assert shown == [f"{value:.3f}" for value in best]
    with connect("local") as connection:
        assert (classify(read_bundle(host_bundle), connection, images) == logits).all()
    assert list((local_sshd.home / ".cache/bitat-deploy/runs").iterdir()) == []


def test_a_grey_picture_of_the_right_size_is_not_changed(pictures: list[Path]) -> None:
    grey = load_picture(pictures[0], (28, 28, 1), Preprocessing())
    assert (grey[..., 0] == np.asarray(Image.open(pictures[0]))).all()


def test_upright_and_transparent_pictures(tmp_path: Path) -> None:
    turned = Image.new("RGB", (4, 2), "black")
    turned.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    loaded = load_picture(tmp_path / "turned.png", (4, 2, 3), Preprocessing())
    assert loaded[0, 1].tolist() == [255, 255, 255] and loaded.sum() == 3 * 255
    Image.new("RGBA", (3, 3), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert load_picture(tmp_path / "clear.png", (3, 3, 1), Preprocessing()).max() == 0


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n", "cut", "deep"])
def test_bad_pictures(
    content: bytes | str | None, host_bundle: Path, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    if content == "cut":
        bad.write_bytes(pictures[0].read_bytes()[:200])
    elif content == "deep":
        Image.new("I;16", (5, 5)).save(bad)
    elif isinstance(content, bytes):
        bad.write_bytes(content)
    result = run(host_bundle, pictures[0], bad)
    assert isinstance(result.exception, InputError)
    assert "bad.png" in str(result.exception)


@pytest.mark.parametrize(
    "form", [["--image", 0, 1], ["--image", 0, "--image", 1], [0, 1], ["--image", 0, "--image=", 1]]
)
def test_image_option_and_arguments(
    form: list[object], host_bundle: Path, pictures: list[Path]
) -> None:
    arguments = " ".join(str(pictures[part] if isinstance(part, int) else part) for part in form)
    result = run(host_bundle, *arguments.replace("= ", "=").split())
    assert result.exit_code == 0, result.output
    positions = [result.stdout.index(path.name) for path in pictures]
    assert positions == sorted(positions)


def test_image_of_the_last_build(host_bundle: Path, pictures: list[Path]) -> None:
    remember_last_build(host_bundle)
    result = run("--image", pictures[0])
    assert result.exit_code == 0 and "%" in result.stdout, result.output


def test_a_bundle_alone_is_not_enough(host_bundle: Path) -> None:
    result = run(host_bundle)
    assert result.exit_code == 2 and "--image FILE" in result.output


def test_a_bundle_that_is_not_there(pictures: list[Path], tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere", "--image", pictures[0])
    assert isinstance(result.exception, InputError)
    assert "no bundle or picture" in str(result.exception)
