"""The program that measures kernels: what candidates do, and what is reported of them."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm_ffi.libinfo

from bitat_deploy.bundle.runtime_libraries import runtime_libraries
from bitat_deploy.compiler.cross_compiler import compile_c, link_shared
from bitat_deploy.target import load_target
from bitat_deploy.tuning.building import Kernel, build_kernel
from bitat_deploy.tuning.measurement import batch_content, measuring_program
from bitat_deploy.tuning.task import Check
from tests.operators.drawn_layers import drawn_inputs, pointwise

QEMU = ("qemu-aarch64", "-cpu", "cortex-a72", "-L", "/usr/aarch64-linux-gnu")
INPUT = np.arange(100, dtype=np.int16)
CHECK = Check((INPUT,), INPUT + 1)

# Adds its constant to the input; what stands before it can go wrong.
SOURCE = """
#include <dlpack/dlpack.h>
#include <tvm/ffi/c_api.h>
int __tvm_ffi_kernel(void* self, const TVMFFIAny* arguments, int32_t count, TVMFFIAny* result) {
  const DLTensor* const* tensors[3];
  (void)self; (void)result;
  if (count != 3) return -1;
  for (int i = 0; i < 3; ++i) tensors[i] = (const DLTensor* const*)&arguments[i].v_ptr;
  const int16_t* x = (*tensors[0])->data;
  const int16_t* constant = (*tensors[1])->data;
  int16_t* y = (*tensors[2])->data;
  FAULT
  for (int i = 0; i < 100; ++i) y[i] = (int16_t)(x[i] + constant[0]);
  return 0;
}
"""
FAULTS = {
    "right": "",
    "crash": "*(volatile int*)8 = 1;",
    "abort": "__builtin_trap();",
    "hang": "for (volatile int forever = 1; forever;) {}",
}
HOST = load_target("host")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("kernels")
    compiled = {}
    for name, fault in FAULTS.items():
        source, library = folder / f"{name}.c", folder / f"{name}.so"
        source.write_text(SOURCE.replace("FAULT", fault))
        includes = [Path(tvm_ffi.libinfo.find_include_path())]
        compile_c(source, folder / f"{name}.o", HOST, include_directories=includes)
        link_shared([folder / f"{name}.o"], library, HOST)
        compiled[name] = library.read_bytes()
    return compiled


def kernel(library: bytes, addend: int = 1) -> Kernel:
    return Kernel(library, (np.array([addend], np.int16),))


def command(folder: Path, *options: str) -> list[str]:
    program = folder / "measure_kernels"
    if not program.exists():
        program.write_bytes(measuring_program(HOST).read_bytes())
        program.chmod(0o755)
        (folder / "lib").mkdir()
        for library in runtime_libraries(HOST):
            (folder / "lib" / library.name).symlink_to(library)
    quick = ["--warmup-ms", "1", "--measure-ms", "1", "--cool-down-ms", "0", "--timeout-ms", "2000"]
    return [str(program), "--batch", "batch", *quick, *options]


def measure(folder: Path, kernels: list[Kernel], *options: str) -> list[dict[str, Any]]:
    (folder / "batch").write_bytes(batch_content(CHECK, kernels))
    arguments = command(folder, *options)
    finished = subprocess.run(
        arguments, cwd=folder, stdin=hold_open(), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert not (folder / "candidate.so").exists()
    entries: list[dict[str, Any]] = json.loads(finished.stdout)["candidates"]
    return entries


def hold_open() -> int:
    """A standard input that stays open."""
    read, _ = os.pipe()
    return read


def test_what_goes_wrong_stops_nothing(libraries: dict[str, bytes], tmp_path: Path) -> None:
    right = libraries["right"]
    kernels = [kernel(right), kernel(libraries["crash"]), kernel(libraries["abort"])]
    kernels += [kernel(libraries["hang"]), kernel(right, addend=2), kernel(b"no library")]
    kernels.append(kernel(right))
    entries = measure(tmp_path, kernels)
    outcomes = [entry["outcome"] for entry in entries]
    assert outcomes == ["ok", "crashed", "crashed", "hung", "wrong", "crashed", "ok"]
    assert "Segmentation fault" in entries[1]["message"]
    assert "2000 ms" in entries[3]["message"]
    # The first one is measured once more in the end.
    assert [len(entry["min_ns"]) for entry in entries] == [3, 0, 0, 0, 0, 0, 2]
    assert 0 < min(entries[0]["min_ns"]) <= max(entries[0]["median_ns"]) < 1e6


def test_ends_with_its_input_and_its_candidate_too(
    libraries: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "batch").write_bytes(batch_content(CHECK, [kernel(libraries["hang"])]))
    arguments = command(tmp_path, "--timeout-ms", "60000")
    with subprocess.Popen(
        arguments, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 5
    wait_for_end(int(found[0]))


def test_a_killed_program_leaves_no_candidate(libraries: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(batch_content(CHECK, [kernel(libraries["hang"])]))
    arguments = command(tmp_path, "--timeout-ms", "60000")
    with subprocess.Popen(arguments, cwd=tmp_path, stdin=hold_open()) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    wait_for_end(int(found[0]))


def test_two_at_once_take_turns(libraries: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(batch_content(CHECK, [kernel(libraries["right"])]))
    arguments = command(tmp_path, "--lock", ".", "--measure-ms", "500")
    pipes = {"stdin": hold_open(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(arguments, cwd=tmp_path, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(b"waiting" in error for error in errors) == [False, True]


def test_bad_batches(libraries: dict[str, bytes], tmp_path: Path) -> None:
    content = batch_content(CHECK, [kernel(libraries["right"])])
    damaged = [content[:size] for size in range(0, len(content), 311)]
    damaged += [content + b"more", b"x" * 100]
    arguments = command(tmp_path)
    for batch in damaged:
        (tmp_path / "batch").write_bytes(batch)
        finished = subprocess.run(
            arguments, cwd=tmp_path, stdin=hold_open(), capture_output=True, text=True, check=False
        )
        assert finished.returncode == 3
        assert finished.stderr.startswith("error: ") and finished.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--colour", "--rounds"])
def test_bad_usage(option: str, tmp_path: Path) -> None:
    arguments = command(tmp_path, option, "red")
    finished = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert option in finished.stderr


def wait_for_end(process: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_arm_kernels_in_qemu(tmp_path: Path) -> None:
    target = load_target("rpi4")
    random = np.random.default_rng(0)
    operator = pointwise(random, 6, 6, 64, 64).operator(target)
    inputs = drawn_inputs(operator, random)
    tried = [operator, *(operator.with_schedule(s) for s in operator.space()[:2])]
    kernels = [build_kernel(candidate) for candidate in tried]
    assert [candidate.error for candidate in kernels] == [""] * 3
    content = batch_content(Check(inputs, operator.reference(*inputs)), kernels)
    (tmp_path / "batch").write_bytes(content)
    (tmp_path / "lib").mkdir()
    for library in runtime_libraries(target):
        (tmp_path / "lib" / library.name).symlink_to(library)
    program = tmp_path / "measure_kernels"
    program.write_bytes(measuring_program(target).read_bytes())
    program.chmod(0o755)
    finished = subprocess.run(
        [*QEMU, str(program), "--batch", "batch", "--measure-ms", "1", "--rounds", "1"],
        cwd=tmp_path,
        stdin=hold_open(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    entries = json.loads(finished.stdout)["candidates"]
    assert [entry["outcome"] for entry in entries] == ["ok"] * 3
