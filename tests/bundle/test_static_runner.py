"""A static bundle: one program for 32-bit ARM, run as ARM code in qemu-user."""

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitat_deploy.bundle import Bundle, read_bundle
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.compiler.layer_report import layer_symbols
from bitat_deploy.onnx_format import reference_logits, to_onnx
from bitat_deploy.target import load_target
from tests.drawn_networks import draw_images, draw_network, draw_shortcut_network
from tests.test_bit_for_bit import run

# The two are the least and the most that the target is for.
EMULATORS = [("qemu-arm", "-cpu", "cortex-a7"), ("qemu-arm", "-cpu", "max")]

# Among them: channels that fill no byte, no vector, and several vectors.
NETWORKS = {
    "odd": draw_network(11),
    "wide": draw_network(12, (8, 12, 1), (3, 2), ((130, 1), (5, 2)), classes=3),
    "images": draw_network(13, (28, 28, 1), (16, 2), ((32, 2), (300, 1)), classes=17),
    "shortcuts": draw_shortcut_network(14, blocks=1),
}


@pytest.fixture(autouse=True)
def _needs_qemu() -> None:
    if shutil.which("qemu-arm") is None:
        pytest.skip("needs qemu-arm (Debian's qemu-user)")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The bundle of one of NETWORKS, built once."""

    @cache
    def build(name: str) -> Bundle:
        folder = tmp_path_factory.mktemp(name)
        onnx.save(to_onnx(NETWORKS[name]), folder / "model.onnx")
        return build_bundle(folder / "model.onnx", load_target("rpi-32bit"), folder / "bundle")

    return build


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_reference(name: str, bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    network, bundle = NETWORKS[name], bundles(name)
    assert {file.path for file in read_bundle(bundle.directory).pushed_files} == {"runner"}
    images = draw_images(network, 20)
    expected = reference_logits(bundle.directory / "model.onnx", images)
    for emulator in EMULATORS:
        assert np.array_equal(run(bundle, emulator, images, tmp_path), expected)
    assert np.array_equal(run(bundle, EMULATORS[0], images, tmp_path, threads=3), expected)


def test_needs_no_file_and_says_what_is_wrong(
    bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    network, runner = NETWORKS["odd"], str(bundles("odd").directory / "runner")
    assert b"ld-linux" not in Path(runner).read_bytes()
    draw_images(network, 2).tofile(tmp_path / "images")

    def call(shape: str) -> "subprocess.CompletedProcess[str]":
        command = [*EMULATORS[0], runner, "--model", runner, "--shape", shape]
        command += ["--images", str(tmp_path / "images"), "--logits", str(tmp_path / "logits")]
        command += ["--min-runs", "1", "--min-seconds", "0", "--profile-runs", "3"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    finished = call("11x9x3")
    assert finished.returncode == 0, finished.stderr
    layers = json.loads(finished.stdout)["layers_ns"]
    assert [layer["name"] for layer in layers] == layer_symbols([x.name for x in network.layers])

    finished = call("9x11x3")
    assert finished.returncode == 2
    assert finished.stderr == "error: the network is for images of the shape 11x9x3, not 9x11x3\n"
