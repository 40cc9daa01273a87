"""A program on the device library, copied to the virtual Pi, on frames of 4:3."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitat_deploy.bundle import build_program, read_bundle, runner_folder
from bitat_deploy.datasets.pictures import prepare_picture
from bitat_deploy.network import OWN
from bitat_deploy.onnx_format import reference_logits
from tests.ssh_devices import VirtualPi


@pytest.mark.virtual_pi
def test_frames(virtual_pi: VirtualPi, rpi4_bundle: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    with runner_folder() as sources:
        build_program([sources / "sdk" / "camera.cc"], read_bundle(rpi4_bundle), app / "camera")
    frames = np.random.default_rng(7).integers(0, 256, (9, 60, 80, 3), dtype=np.uint8)
    frames.tofile(app / "frames")
    pictures = [Image.fromarray(frame) for frame in frames]
    images = [prepare_picture(picture, (28, 28, 1), OWN, "it") for picture in pictures]
    expected = reference_logits(rpi4_bundle / "model.onnx", np.stack(images))
    archive = subprocess.run(
        ["tar", "-cz", "-C", tmp_path, "app"], stdout=subprocess.PIPE, check=True
    ).stdout
    ssh = ["ssh", "-F", str(virtual_pi.ssh_config), "127.0.0.1", "tar -xz"]
    subprocess.run(ssh, input=archive, check=True)
    command = "app/camera --size 80x60 --logits --threads 2 app/frames; rm -rf app"
    rows = [line.rpartition(": ")[2].split() for line in virtual_pi.run(command).splitlines()]
    assert np.array_equal(np.array(rows, np.float64).astype(np.float32), expected)
