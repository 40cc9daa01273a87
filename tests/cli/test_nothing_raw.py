"""Nothing of a model, a target, a file's name or a device reaches a terminal or a page raw."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

import bitat_deploy.device
from bitat_deploy.bundle import read_bundle
from bitat_deploy.cli.main import as_our_error, cli
from bitat_deploy.errors import BitatDeployError
from tests.exploration.pictures import write_photos
from tests.foreign.drawn_models import Model
from tests.hostile_device import NASTY, HostileDevice, is_shown_safely

ROOT = Path(__file__).parents[2]
# File systems take 255 bytes, and no slash; a target's description is printable.
NAME = NASTY[:60].replace("/", "|")
DESCRIPTION = "[/x] [link=http://a] :smile: <img src=x>|`"
FACTS = ("board", "os", "kernel", "governor", "cpu_name")
CLOCK = "sys/devices/system/cpu/cpufreq/policy0"
HEALTH = {"scaling_governor": NASTY, "scaling_driver": NASTY, "cpuinfo_max_freq": "1500000"}
HEALTH |= {"related_cpus": "0", "scaling_max_freq": "600000", "scaling_cur_freq": "600000"}


def hostile_device(*_: object, **__: object) -> HostileDevice:
    """This machine, which lies about all that is text."""
    facts = "".join(f"{name}={NASTY}\n" for name in FACTS)
    health = "".join(f"{CLOCK}/{name}:{value}\n" for name, value in HEALTH.items())
    return HostileDevice({"say machine": facts.encode(), "get_throttled": health.encode()})


def run(*arguments: str) -> str:
    """What a command shows, as the program prints it, with its error if there is one."""
    result = CliRunner().invoke(cli, arguments)
    shown = result.output
    error = result.exception
    if isinstance(error, OSError):
        error = as_our_error(error)
    if isinstance(error, BitatDeployError):
        shown += str(error)
    elif error is not None and not isinstance(error, SystemExit):
        raise error
    assert is_shown_safely(shown), shown
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nasty")
    host = (ROOT / "targets" / "host.yaml").read_text()
    text = re.sub("description: .*", f"description: '{DESCRIPTION}'", host)
    (folder / "own.yaml").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _surroundings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setattr(bitat_deploy.device, "connect", hostile_device)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    """A network of nasty names in a file of one, built for a target of a nasty description."""
    proto = Model((1, 8, 8)).classify().proto()
    proto.graph.name = NASTY
    for node in proto.graph.node:
        node.name, node.doc_string = f"{NASTY}{node.name}", NASTY
    names = json.dumps([f"{DESCRIPTION}{index}" for index in range(10)])
    for key, value in (("class_names", names), (NASTY[:90], NASTY), ("dataset", NASTY)):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(proto, folder / f"{NAME}.onnx")
    output = folder / "bundle"
    options = ["--target", str(folder / "own.yaml"), "-o", str(output)]
    shown = run("build", str(folder / f"{NAME}.onnx"), *options)
    assert "for own" in shown
    return output


def test_build_and_its_names(bundle: Path) -> None:
    manifest = read_bundle(bundle).manifest
    assert re.fullmatch("[A-Za-z0-9._-]{1,100}", manifest.model.name)
    assert manifest.model.class_names[1] == f"{DESCRIPTION}1"


def test_bench_and_its_pages(bundle: Path, folder: Path) -> None:
    pages = {kind: folder / f"{NAME}.{kind}" for kind in ("json", "markdown", "html")}
    options = [part for kind, path in pages.items() for part in (f"--{kind}", str(path))]
    shown = run("bench", str(bundle), "--images", "5", "--min-seconds", "0", *options)
    assert "Report:" in shown and "[/x]" in shown
    for kind in ("markdown", "html"):
        assert is_shown_safely(pages[kind].read_text(encoding="utf-8"))
    assert "<img" not in pages["html"].read_text(encoding="utf-8")
    assert "[/x]" in json.loads(pages["json"].read_text())["device"]["board"]


def test_doctor() -> None:
    assert "[/x]" in run("doctor")


def test_run(bundle: Path, folder: Path) -> None:
    picture = folder / f"{NAME}.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
    shown = run("run", str(bundle), "--image", str(picture))
    assert "[|x]" in shown and "softmax" in shown


@pytest.mark.usefixtures("bundle")
def test_tune(folder: Path) -> None:
    assert "nothing to tune" in run(
        "tune", str(folder / f"{NAME}.onnx"), "--trials", "1", "--force"
    )


def test_targets_and_errors(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = shutil.copytree(ROOT / "targets", tmp_path / "targets")
    shutil.copy(folder / "own.yaml", targets)
    with monkeypatch.context() as patched:
        patched.setattr("bitat_deploy.target._directory", lambda: targets)
        assert DESCRIPTION[:20] in run("targets")
    for arguments in (
        ("build", NASTY),
        ("build", "--target", NASTY),
        ("bench", NASTY[:100]),
        ("bench", "--inventory", NAME),
        ("run", "--image", NAME),
        ("compare", NAME, NAME),
        ("init", "--target", NASTY),
        ("sdk", "--target", NASTY),
        ("sdk", "-o", f"{NAME}.onnx"),
        ("explore", "--data", NAME),
        ("explore", "--data", ".", "--budget", NASTY),
        ("train", NAME),
        ("train", "--recipe", f"{NAME}.yaml"),
        ("train", "--recipe", "fashion-mnist-mobilenet", "--set", f"{NASTY}={NASTY}"),
        ("quantize", NAME, "--weights", "2", "--activations", "2", "--layer-bits", NASTY),
        ("export", NAME),
        ("run", NAME),
        ("clean", "--host", NASTY),
        (NASTY,),
        ("doctor", NASTY),
        ("doctor", f"--{NASTY}"),
        ("bench", "--transport", NASTY),
    ):
        run(*arguments)


def test_recipe_that_is_shown(folder: Path) -> None:
    file = folder / f"{NAME}.yaml"
    file.write_bytes(f"name: a\nnetwork:\n  block: {NASTY}\n".encode() + b"# \xff\n")
    shown = run("train", "--show", str(file))
    assert "\n  block: ]52" in shown and shown.endswith("# \ufffd\n")


def test_sdk(folder: Path) -> None:
    assert "the device library" in run(
        "sdk", "--target", "rpi-32bit", "-o", str(folder / f"{NAME}-sdk")
    )


def test_photos_of_nasty_classes(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / NAME, 6)
    for number, folder in enumerate(sorted(photos.iterdir())):
        folder.rename(photos / f"{NAME[:50]}{number}")
    assert "has 5 photos for training" in run("train", str(photos))
