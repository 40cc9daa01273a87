"""The runner by itself: on this machine, and as ARM code in qemu-user."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitat_deploy.compiler.layer_report import layer_symbols
from bitat_deploy.onnx_format import reference_logits

QEMU = ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu")
SHAPE = (28, 28, 1)
COUNT = 40


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    random = np.random.default_rng(0)
    path.write_bytes(random.integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8).tobytes())
    return path


def run(
    bundle: Path, images: Path, *options: str, emulator: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    arguments = {
        "--model": str(bundle / "model.so"),
        "--shape": "28x28x1",
        "--images": str(images),
        "--logits": str(images.with_name("logits")),
        "--min-seconds": "0",
    }
    given = dict(zip(options[::2], options[1::2], strict=True))
    command = [*emulator, str(bundle / "runner")]
    command += [part for pair in (arguments | given).items() for part in pair]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("target", "emulator"), [("host", ()), ("rpi4", QEMU)])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_measures_and_equals_the_reference(
    target: str,
    emulator: tuple[str, ...],
    threads: str,
    images: Path,
    request: pytest.FixtureRequest,
) -> None:
    bundle = request.getfixturevalue(f"{target}_bundle")
    finished = run(bundle, images, "--threads", threads, "--warmup", "3", emulator=emulator)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    assert len(document["durations_ns"]) == 50
    assert min(document["durations_ns"]) > 0
    assert (document["warmup"], document["threads"]) == (3, int(threads))
    # Mostly shared libraries; once there was a buffer of 16 MB.
    assert 1e6 < document["peak_rss_bytes"] < (1e8 if emulator else 16e6)
    shape = (document["images"], document["classes"])
    logits = np.fromfile(images.with_name("logits"), dtype=np.float32).reshape(shape)
    pixels = np.fromfile(images, dtype=np.uint8).reshape(COUNT, *SHAPE)
    assert np.array_equal(logits, reference_logits(bundle / "model.onnx", pixels))


def test_profile(host_bundle: Path, images: Path) -> None:
    plain = run(host_bundle, images)
    assert json.loads(plain.stdout)["layers_ns"] == []
    logits = images.with_name("logits").read_bytes()
    profiled = run(host_bundle, images, "--profile-runs", "20")
    assert profiled.returncode == 0, profiled.stderr
    layers = json.loads(profiled.stdout)["layers_ns"]
    manifest = json.loads((host_bundle / "manifest.json").read_text())
    names = [layer["name"] for layer in manifest["layers"]]
    assert [layer["name"] for layer in layers] == layer_symbols(names)
    assert min(layer["ns"] for layer in layers) > 0
    assert images.with_name("logits").read_bytes() == logits


def test_measures_for_as_long_as_asked(host_bundle: Path, images: Path) -> None:
    finished = run(host_bundle, images, "--min-seconds", "0.2", "--min-runs", "1")
    assert sum(json.loads(finished.stdout)["durations_ns"]) > 0.1e9
    capped = run(host_bundle, images, "--min-runs", "1000000000", "--max-seconds", "0.1",
                 "--max-runs", "1000000000")  # fmt: skip
    assert sum(json.loads(capped.stdout)["durations_ns"]) < 2e9


@pytest.mark.parametrize(
    ("option", "value", "code", "sentence"),
    [
        ("--colour", "red", 2, "unknown option '--colour'"),
        ("--shape", "28x28", 2, "not HEIGHTxWIDTHxCHANNELS"),
        ("--threads", "0", 2, "--threads '0' is not a number in range"),
        ("--min-runs", "1.5", 2, "not a whole number"),
        ("--model", "/nowhere/model.so", 3, "cannot read the model"),
        ("--images", "/nowhere/images", 3, "cannot read the images"),
        ("--images", "/", 3, "cannot read the images"),
        ("--images", "/dev/zero", 3, "cannot read the images"),
        ("--images", "/proc/self/status", 3, "not a whole number of images"),
        ("--model", "/", 3, "cannot read the model '//model.so'"),
        ("--model", "/proc/self/status", 4, "no compiled network"),
        ("--shape", "28x28x3", 3, "not a whole number of images"),
        ("--logits", "/nowhere/logits", 3, "cannot write the logits '/nowhere/logits'"),
        ("--logits", "/dev/null", 3, "cannot write the logits '/dev/null'"),
        ("--shape", "14x56x1", 2, "images of the shape 28x28x1, not 14x56x1"),
        ("--batch", "2", 2, "batches of 1, not of 2"),
    ],
)
def test_bad_input(
    option: str, value: str, code: int, sentence: str, host_bundle: Path, images: Path
) -> None:
    finished = run(host_bundle, images, option, value)
    assert finished.returncode == code
    assert finished.stdout == ""
    errors = [line for line in finished.stderr.splitlines() if not line.startswith("progress ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert sentence in errors[0]


def test_library_that_is_no_network(host_bundle: Path, images: Path) -> None:
    finished = run(host_bundle, images, "--model", str(host_bundle / "lib" / "libtvm_ffi.so"))
    assert finished.returncode == 4
    assert "no function 'vm_load_executable'" in finished.stderr


def test_ends_with_its_input(host_bundle: Path, images: Path) -> None:
    command = [str(host_bundle / "runner"), "--model", str(host_bundle / "model.so")]
    command += ["--shape", "28x28x1", "--images", str(images)]
    command += ["--logits", str(images.with_name("logits"))]
    command += ["--min-seconds", "100", "--max-runs", "1000000000", "--stop-at-end-of-input"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 5
    assert not images.with_name("logits").exists()


def test_model_that_was_cut_off(host_bundle: Path, images: Path) -> None:
    content = (host_bundle / "model.so").read_bytes()
    model = images.with_name("model.so")
    for size in range(0, len(content), len(content) // 20):
        model.write_bytes(content[:size])
        finished = run(host_bundle, images, "--model", str(model))
        assert finished.returncode == 4
        assert finished.stderr.startswith("error: the model ")
        assert finished.stderr.count("\n") == 1


def test_model_of_another_processor(host_bundle: Path, rpi4_bundle: Path, images: Path) -> None:
    finished = run(host_bundle, images, "--model", str(rpi4_bundle / "model.so"))
    assert finished.returncode == 4
    assert "is for another processor; build for this device's target" in finished.stderr


def test_model_of_another_version(host_bundle: Path, images: Path) -> None:
    content = (host_bundle / "model.so").read_bytes()
    # The version of TVM's executable, with its length before it.
    version = b"\x04" + bytes(7) + b"0.14"
    assert content.count(version) == 1
    model = images.with_name("model.so")
    model.write_bytes(content.replace(version, version[:-1] + b"3"))
    finished = run(host_bundle, images, "--model", str(model))
    assert finished.returncode == 4
    assert "compiled by another version of TVM; build the bundle again" in finished.stderr


@pytest.mark.parametrize("library", ["libtvm_ffi.so", "libtvm_runtime.so"])
def test_missing_library(library: str, host_bundle: Path, images: Path) -> None:
    bundle = images.with_name("bundle")
    shutil.copytree(host_bundle, bundle)
    (bundle / "lib" / library).unlink()
    finished = run(bundle, images)
    # The dynamic loader says it: the runner has not begun.
    assert finished.returncode == 127
    assert f"{library}: cannot open shared object file" in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_too_little_memory(host_bundle: Path, images: Path) -> None:
    """From too little for the libraries up to enough: one line each time, or the answer."""
    ended = []
    command = [str(host_bundle / "runner"), "--model", str(host_bundle / "model.so")]
    command += ["--shape", "28x28x1", "--images", str(images), "--min-seconds", "0"]
    command += ["--logits", str(images.with_name("logits")), "--threads", "2"]
    for kilobytes in range(2_000, 40_000, 1_000):
        limited = ["sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh", *command]
        finished = subprocess.run(limited, capture_output=True, text=True, check=False)
        ended.append(finished.returncode)
        errors = [line for line in finished.stderr.splitlines() if not line.startswith("progress ")]
        if finished.returncode == 127:
            assert "error while loading shared libraries" in errors[0]
        elif finished.returncode == 6:
            # A library that gives up says something of its own before.
            assert errors[-1].startswith("error: ") and "memory" in errors[-1]
        else:
            assert (finished.returncode, errors) == (0, [])
    assert set(ended) == {127, 6, 0}
    assert ended[-1] == 0


def test_result_that_cannot_be_written(host_bundle: Path, images: Path) -> None:
    command = [str(host_bundle / "runner"), "--model", str(host_bundle / "model.so")]
    command += ["--shape", "28x28x1", "--images", str(images), "--min-seconds", "0"]
    command += ["--logits", str(images.with_name("logits"))]
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 3
    assert "error: cannot write the result: No space left on device" in finished.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test runs as an ordinary user then")
def test_an_ordinary_user_needs_nothing_more(host_bundle: Path) -> None:
    """The whole of ``run`` on this machine, as a user without rights, name or login shell."""
    ordinary = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--no-new-privs",
    ]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bundle = shutil.copytree(host_bundle, home / "bundle")
        picture = home / "picture.png"
        Image.new("L", (28, 28), 128).save(picture)
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
        environment = os.environ | {"HOME": folder, "XDG_CACHE_HOME": f"{folder}/cache"}
        command = [*ordinary, sys.executable, "-c", "from bitat_deploy.cli import main; main()"]
        command += ["run", str(bundle), "--host", "local", "--image", str(picture)]
        finished = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, finished.stderr
        assert "class" in finished.stdout
        assert {path.stat().st_uid for path in home.rglob("*")} == {65534}
