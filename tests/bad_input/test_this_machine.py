"""The machine that a user works on, as it is: no home, no room, other locales, odd file names."""

import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitat_deploy.cli.project_file import Project, read_project
from bitat_deploy.datasets import load_dataset, load_picture
from bitat_deploy.device.reference import cached_reference_logits
from bitat_deploy.errors import BuildError, InputError
from bitat_deploy.network import Preprocessing
from bitat_deploy.onnx_format import to_onnx
from bitat_deploy.paths import cache_directory, data_directory
from tests.bench_command import COMMAND
from tests.drawn_networks import draw_images, draw_network


def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """A command with these variables besides."""
    variables = {**os.environ, **environment}
    finished = subprocess.run(
        [COMMAND, *arguments], env=variables, capture_output=True, check=False
    )
    assert b"Traceback" not in finished.stderr, finished.stderr.decode(errors="replace")
    return finished


def unknown_user(number: int) -> None:
    raise KeyError(number)


@pytest.mark.parametrize("home", [None, "relative"])
@pytest.mark.parametrize("value", ["", "relative"])
def test_no_home(home: str | None, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", unknown_user)
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    for folder, variable in ((cache_directory, "XDG_CACHE_HOME"), (data_directory, "XDG_DATA")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("XDG_DATA_HOME", value)
        with pytest.raises(BuildError, match=f"no home folder; set HOME, or {variable}"):
            folder()


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "bitat-deploy").write_text("no folder")
    for arguments in (["build"], ["bench"], ["bench", tmp_path], ["run", "--image", __file__]):
        finished = run(*arguments, XDG_CACHE_HOME=str(tmp_path))
        assert finished.returncode == InputError.exit_code
        assert finished.stderr.splitlines()[-1].startswith(b"Error: ")


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_locales_that_lack_characters(locale: dict[str, str]) -> None:
    finished = run("doctor", **locale)
    assert b"Doctor: local" in finished.stdout
    refused = run("compare", "größe-→.json", "b.json", **locale)
    assert refused.returncode == InputError.exit_code and refused.stderr.startswith(b"Error: ")


def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    network = draw_network(0, (8, 8, 1), (8, 2), ((16, 2),))
    model = folder / os.fsdecode(b"mod\xe8le.onnx")
    model.write_bytes(to_onnx(network).SerializeToString())
    output = folder / "bundle"
    finished = run("build", model, "-o", output)
    assert finished.returncode == 0, finished.stderr
    images = draw_images(network, 3)
    first = cached_reference_logits(model, "a" * 64, images, "b" * 64)
    assert first.shape == (3, len(network.class_names))


def test_a_damaged_reference_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = draw_network(0, (8, 8, 1), (8, 2), ((16, 2),))
    model, images = tmp_path / "model.onnx", draw_images(network, 3)
    model.write_bytes(to_onnx(network).SerializeToString())
    computed: list[int] = []

    def reference() -> np.ndarray:
        return cached_reference_logits(model, "a" * 64, images, "b" * 64, computed.append)

    right = reference()
    assert np.array_equal(reference(), right) and computed == [0]
    (record,) = (cache_directory() / "references").iterdir()
    content = record.read_bytes()
    for position in (0, 40, len(content) - 3):
        flipped = bytearray(content)
        flipped[position] ^= 1
        record.write_bytes(flipped)
        assert np.array_equal(reference(), right)
        assert record.read_bytes() == content
    assert computed == [0] * 4
    record.unlink()
    record.parent.rmdir()
    record.parent.write_text("no folder")  # a cache that cannot be written
    assert np.array_equal(reference(), right)


def test_home_in_a_project_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "bitat.yaml"
    file.write_text("model: ~/a.onnx\ntarget: ~/own.yaml\ndata: ~\nhost: pi@board\n")
    with pytest.raises(InputError, match="'data' in"):
        read_project(file)  # YAML reads a bare ~ as nothing
    file.write_text("model: ~/a.onnx\ntarget: ~/own.yaml\ndata: ~/data\nhost: pi@board\n")
    assert read_project(file) == Project(
        "/home/me/a.onnx", "/home/me/own.yaml", "pi@board", "/home/me/data"
    )
    file.write_text("model: ~nobody-here/a.onnx\n")
    with pytest.raises(InputError, match="of an unknown user"):
        read_project(file)


def test_a_pipe_where_a_file_should_be(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is no plain file"):
        load_picture(pipe, (8, 8, 1), Preprocessing())
    with pytest.raises(InputError, match="neither a folder nor a plain file"):
        load_dataset("cifar-10", "test", pipe)


def test_no_room_for_what_llvm_writes(tmp_path: Path) -> None:
    network = draw_network(0, (8, 8, 1), (8, 2), ((16, 2),))
    model = tmp_path / "model.onnx"
    model.write_bytes(to_onnx(network).SerializeToString())
    finished = subprocess.run(
        [COMMAND, "build", model, "-o", tmp_path / "bundle", "--no-cache"],
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert finished.returncode == InputError.exit_code, finished.stderr
    assert b"Error: '/tmp/" in finished.stderr and b"Traceback" not in finished.stderr
    assert not (tmp_path / "bundle").exists()
