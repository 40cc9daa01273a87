"""Every 64-bit ARM target builds, and its bundle answers as the reference does."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import bitat_deploy.target
from bitat_deploy.bundle.build import build_bundle
from bitat_deploy.compiler.relax_module import tvm_target
from bitat_deploy.errors import InputError
from bitat_deploy.onnx_format import reference_logits, to_onnx
from bitat_deploy.target import load_target, target_names
from tests.drawn_networks import draw_images, draw_network
from tests.test_bit_for_bit import run

# Where qemu does not know the processor: one that has no more than it.
PROCESSORS = {"generic": "cortex-a53", "cortex-a55": "cortex-a76"}
TARGETS_FOLDER = Path(__file__).parents[1] / "targets"
TARGETS = [name for name in target_names() if name != "host"]


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str, tmp_path: Path) -> None:
    target = load_target(name)
    if target.architecture != "aarch64":
        pytest.skip("a target of another architecture has tests of its own")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    network = draw_network(7)
    images = draw_images(network, 10)
    onnx.save(to_onnx(network), tmp_path / "model.onnx")
    bundle = build_bundle(tmp_path / "model.onnx", target, tmp_path / "bundle")
    processor = PROCESSORS.get(target.cpu, target.cpu)
    emulator = ("qemu-aarch64", "-cpu", processor, "-L", "/usr/aarch64-linux-gnu")
    logits = run(bundle, emulator, images, tmp_path)
    assert np.array_equal(logits, reference_logits(tmp_path / "model.onnx", images))


def test_bounds_follow_from_the_vector_pipes() -> None:
    bounds = {name: round(load_target(name).counting_bound) for name in ("rpi3", "rpi4", "rpi5")}
    assert bounds == {"rpi3": 43, "rpi4": 85, "rpi5": 85}


@pytest.mark.parametrize(
    ("line", "changed", "expected"),
    [
        ("cores: 4", "cores: four", r"rpi4.yaml', target.cores must be of type int, not 'four'"),
        ("cores: 4", "", "target has missing keys: cores"),
        ("cores: 4", "cores: 4\ncorse: 4", "target has unknown keys: corse"),
        ("[+neon]", "+neon", "target.features must be a list"),
        ("cores: 4", "cores: [", r"rpi4.yaml' is not YAML: .* \(line"),
        ("cores: 4", "cores: " + "[" * 9 + "]" * 9, "more than 8 levels"),
        ("cores: 4", "cores: &a 4\nl2_kib: *a", "has an alias"),
        ("cores: 4", "cores: 0", "target.cores must be from 1 to 1024, not 0"),
        ("cores: 4", "cores: " + "9" * 4000, "target.cores must be from 1 to 1024"),
        ("vector_bytes: 16", "vector_bytes: -16", "target.vector_bytes must be one of 16, 32, 64"),
        ("vector_pipes: 2", "vector_pipes: -1", "target.vector_pipes must be from 0"),
        ("l1d_kib: 32", "l1d_kib: -1", "target.l1d_kib must be up to"),
        ("triple: aarch64-linux-gnu", "triple: ''", "target.triple must be the architecture"),
        ("triple: aarch64-linux-gnu", "triple: x86_64-linux-gnu", "target.triple must be the arch"),
        ("triple: aarch64-linux-gnu", "triple: aarch64-none", "target.triple must be the arch"),
        ("architecture: aarch64", "architecture: z80", "target.architecture must be one of"),
        ("cpu: cortex-a72", "cpu: ''", "target.cpu must be LLVM's name"),
        ("[+neon]", "[neon]", "target.features must be LLVM's names, each with"),
        ("required: [asimd", "required: [as imd", "target.required must be the kernel's names"),
        ('glibc: "2.28"', 'glibc: "new"', "target.glibc must be a version like 2.28"),
        ('glibc: "2.28"', "", "target.glibc must be a version like 2.28"),
        ("cores: 4", "cores: 4\nruntime: lua", "target.runtime must be one of tvm, static"),
        ("cores: 4", "cores: 4\nruntime: static", "target.glibc must be .* left out with 'static'"),
        ("cores: 4", "cores: 4\nname: ../../x", "target.name must be 1 to 100 letters"),
        ("description: ", 'description: "\\e[2J" #', "target.description must be one line"),
    ],
)
def test_a_wrong_file_is_named(
    line: str, changed: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (TARGETS_FOLDER / "rpi4.yaml").read_text()
    assert line in text
    (tmp_path / "rpi4.yaml").write_text(text.replace(line, changed))
    monkeypatch.setattr(bitat_deploy.target, "_directory", lambda: tmp_path)
    with pytest.raises(InputError, match=expected):
        load_target("rpi4")


def test_a_board_of_your_own(tmp_path: Path) -> None:
    text = (TARGETS_FOLDER / "rpi4.yaml").read_text()
    own, same = tmp_path / "my-board.yaml", tmp_path / "rpi4.yaml"
    for file in (own, same):
        file.write_text(text.replace("cores: 4", "cores: 2"))
    assert load_target(str(own)) == replace(load_target("rpi4"), name="my-board", cores=2)
    with pytest.raises(InputError, match="'rpi4'; give the file another name"):
        load_target(str(same))
    own.write_text(f"{text}name: rpi5\n")
    with pytest.raises(InputError, match="existing target, 'rpi5'"):
        load_target(str(own))
    with pytest.raises(InputError, match="is not a file"):
        load_target(str(tmp_path / "other.yaml"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cpu": "cortex-a99"}, "the cpu 'cortex-a99' of target 'rpi4' is none that LLVM knows"),
        ({"features": ("+neon", "+sve9")}, "the feature '[+]sve9' of target 'rpi4' is none"),
    ],
)
def test_what_llvm_does_not_know_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        tvm_target(replace(load_target("rpi4"), **changes))


def test_x86_64_can_be_named() -> None:
    assert load_target("x86-64-avx2").vector_bytes == 32
    assert "avx512bw" in load_target("x86-64-avx512").required
