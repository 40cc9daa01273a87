"""Running many compiled operators at once: in this process, or as ARM code in one qemu process."""

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from numpy.typing import NDArray

from bitat_deploy.bundle.runtime_libraries import include_directory, runtime_libraries
from bitat_deploy.compiler.cross_compiler import compile_cpp, link_shared
from bitat_deploy.compiler.relax_module import tvm_target
from bitat_deploy.operators import Operator
from bitat_deploy.target import Target
from tests.operators.drawn_layers import drawn_inputs

Inputs = tuple[NDArray[Any], ...]  # of one operator

QEMU = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu")
GARBAGE = 0xA5  # what an output holds before the call


def check(
    operators: Sequence[Operator],
    target: Target,
    folder: Path | None = None,
    inputs: Sequence[Inputs] | None = None,
) -> None:
    """Compare compiled operators with their references, on drawn inputs unless there are some.

    Here, or with a ``folder`` for its files in qemu, where the target is another processor.
    """
    random = np.random.default_rng(0)
    inputs = inputs or [drawn_inputs(operator, random) for operator in operators]
    if target.architecture == "aarch64" and folder is not None:
        outputs = run_in_qemu(operators, inputs, target, folder)
    else:
        outputs = run_here(operators, inputs, target)
    for operator, xs, output in zip(operators, inputs, outputs, strict=True):
        expected = operator.reference(*xs)
        assert (expected.shape, expected.dtype) == (operator.output.shape, operator.output.dtype)
        assert np.array_equal(output, expected), operator.workload


def run_here(
    operators: Sequence[Operator], inputs: Sequence[Inputs], target: Target, batch: int = 1
) -> list[NDArray[Any]]:
    """Outputs of all operators, compiled together and called in this process.

    Inputs and outputs are of ``batch`` images, one after the other.
    """
    library = _compile(operators, target, batch)
    outputs = []
    for index, (operator, xs) in enumerate(zip(operators, inputs, strict=True)):
        tensors = [tvm.runtime.tensor(array) for array in _arguments(operator, xs, batch)]
        library[f"f{index}"](*tensors)
        outputs.append(tensors[-1].numpy())
    return outputs


def run_in_qemu(
    operators: Sequence[Operator], inputs: Sequence[Inputs], target: Target, folder: Path
) -> list[NDArray[Any]]:
    """The same for an ARM target, in one qemu-aarch64 process; ``folder`` is for its files."""
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64 (Debian's qemu-user)")
    library_object, library = folder / "functions.o", folder / "functions.so"
    _compile(operators, target).mod.write_to_file(str(library_object))
    link_shared([library_object], library, target)
    program = folder / "call_functions"
    libraries = runtime_libraries(target)
    compile_cpp(
        [Path(__file__).with_name("call_functions.cc")],
        program,
        target,
        include_directories=[include_directory()],
        libraries=libraries,
        rpath=str(libraries[0].parent),
    )
    with (folder / "tensors").open("wb") as file:
        for operator, xs in zip(operators, inputs, strict=True):
            arguments = _arguments(operator, xs)
            file.write(struct.pack("<q", len(arguments)))
            for array in arguments:
                file.write(_serialized(array))
    command = [
        *QEMU,
        target.cpu,
        str(program),
        str(library),
        str(folder / "tensors"),
        str(folder / "outputs"),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return _split((folder / "outputs").read_bytes(), operators)


def _compile(operators: Sequence[Operator], target: Target, batch: int = 1) -> Any:
    functions = {
        f"f{index}": operator.prim_func(batch).with_attr("global_symbol", f"f{index}")
        for index, operator in enumerate(operators)
    }
    return tvm.compile(tvm.IRModule(functions), target=tvm_target(target))


def _arguments(operator: Operator, xs: Inputs, batch: int = 1) -> list[NDArray[Any]]:
    shape = (batch, *operator.output.shape[1:])
    output = np.zeros(shape, operator.output.dtype)
    output.view(np.uint8)[...] = GARBAGE
    return [*xs, *operator.constants(), output]


def _serialized(array: NDArray[Any]) -> bytes:
    code = {"i": 0, "u": 1, "f": 2}[array.dtype.kind]  # DLPack's
    header = (code, array.dtype.itemsize * 8, array.ndim, *array.shape)
    return struct.pack(f"<{len(header)}q", *header) + array.tobytes()


def _split(data: bytes, operators: Sequence[Operator]) -> list[NDArray[Any]]:
    outputs = []
    for operator in operators:
        empty = np.empty(operator.output.shape, operator.output.dtype)
        chunk, data = data[: empty.nbytes], data[empty.nbytes :]
        outputs.append(np.frombuffer(chunk, empty.dtype).reshape(empty.shape))
    assert not data
    return outputs
