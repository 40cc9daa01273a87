"""Candidates as files for a device: a shared library each, and batches of them."""

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray

from bitat_deploy.compiler.cross_compiler import link_shared
from bitat_deploy.compiler.relax_module import tvm_target
from bitat_deploy.operators import Operator
from bitat_deploy.tuning.task import Check

SYMBOL = "kernel"

_MAGIC = b"bitat-deploy kernels 1\n"
_TYPE_CODES = {"i": 0, "u": 1, "f": 2}  # DLPack's


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled candidate: its library, or in ``error`` why there is none, and its constants."""

    library: bytes
    constants: tuple[NDArray[Any], ...]
    error: str = ""


def build_kernel(operator: Operator) -> Kernel:
    """Compile an operator by itself for its target; a failure is part of the result."""
    try:
        return Kernel(_compile(operator), operator.constants())
    except Exception as error:  # whatever a schedule makes TVM or LLVM do, the others go on
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Kernel(b"", (), lines[-1][:200])


def _compile(operator: Operator) -> bytes:
    function = operator.prim_func().with_attr("global_symbol", SYMBOL)
    compiled = tvm.compile(tvm.IRModule({SYMBOL: function}), target=tvm_target(operator.target))
    with tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace:
        objects, library = Path(workspace) / "kernel.o", Path(workspace) / "kernel.so"
        compiled.mod.write_to_file(str(objects))
        link_shared([objects], library, operator.target)
        return library.read_bytes()


def batch_content(check: Check, kernels: Sequence[Kernel]) -> bytes:
    """A batch file as ``native/batch.h`` describes it."""
    parts = [_MAGIC, *_tensors(check.inputs), *_tensor(check.expected), _numbers(len(kernels))]
    for kernel in kernels:
        parts += [_numbers(len(kernel.library)), kernel.library, *_tensors(kernel.constants)]
    return b"".join(parts)


def _tensors(arrays: Sequence[NDArray[Any]]) -> list[bytes]:
    return [_numbers(len(arrays)), *(part for array in arrays for part in _tensor(array))]


def _tensor(array: NDArray[Any]) -> list[bytes]:
    kind = (_TYPE_CODES[array.dtype.kind], array.dtype.itemsize * 8)
    return [_numbers(*kind, array.ndim, *array.shape), np.ascontiguousarray(array).tobytes()]


def _numbers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)
