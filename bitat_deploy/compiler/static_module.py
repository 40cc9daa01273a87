"""Operators to one object file: their kernels, their constants, and the plan of the calls.

What a static runner is linked with. The network is a chain, so no virtual machine is needed: all
that it would work out is known here, and becomes initialised data in generated C.
"""

import math
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi.libinfo
from numpy.typing import NDArray

from bitat_deploy.compiler.cross_compiler import compile_c, link_relocatable
from bitat_deploy.compiler.importer import CompiledLayer
from bitat_deploy.compiler.layer_report import layer_symbols
from bitat_deploy.compiler.relax_module import tvm_target
from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import IMAGE
from bitat_deploy.operators import Operator
from bitat_deploy.operators.operator import TensorSpec
from bitat_deploy.target import Target

_ALIGNMENT = 64  # what TVM's kernels take for granted
_TYPE_CODES = {"i": "kDLInt", "u": "kDLUInt", "f": "kDLFloat"}


def build_object(layers: Sequence[CompiledLayer], target: Target, output: Path) -> None:
    """Compile a chain of layers to a relocatable object file for ``target``.

    It defines ``bitat_deploy_plan`` as in ``runner/static/plan.h``. Raises BuildError,
    UnsupportedOperatorError where the layers are no chain.
    """
    names = [layer.report.name for layer in layers]
    for layer, before in zip(layers, [IMAGE, *names[:-1]], strict=True):
        if layer.inputs != (before,):
            raise UnsupportedOperatorError(
                f"layer '{layer.report.name}' reads {' and '.join(layer.inputs)} instead of the "
                f"layer before it; for '{target.name}' only chains are supported yet"
            )
    operators = [layer.operator for layer in layers]
    symbols = layer_symbols(names)
    functions = {
        symbol: operator.prim_func().with_attr("global_symbol", symbol)
        for operator, symbol in zip(operators, symbols, strict=True)
    }
    with (
        tempfile.TemporaryDirectory(prefix="bitat-deploy-") as workspace,
        resources.as_file(resources.files("bitat_deploy.runner.static")) as headers,
    ):
        folder = Path(workspace)
        kernels, plan = folder / "kernels.o", folder / "plan.c"
        compiled = tvm.compile(tvm.IRModule(functions), target=tvm_target(target))
        compiled.mod.write_to_file(str(kernels))
        constants = _Constants()
        plan.write_text(plan_source(operators, symbols, constants))
        (folder / "constants").write_bytes(constants.content())
        includes = [headers, Path(tvm_ffi.libinfo.find_include_path())]
        compile_c(plan, folder / "plan.o", target, include_directories=includes)
        link_relocatable([kernels, folder / "plan.o"], output, target)


def arena_layout(sizes: Sequence[int]) -> tuple[int, list[int]]:
    """Bytes of an arena, and an offset in it for each of ``sizes``, of which two neighbours live.

    They lie at its two ends in turn, which is the smallest that neighbours fit in.
    """
    aligned = [-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]
    total = max((a + b for a, b in zip(aligned, [*aligned[1:], 0], strict=True)), default=0)
    return total, [total - size if index % 2 else 0 for index, size in enumerate(aligned)]


class _Constants:
    """The weights of all layers, one after the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, array: NDArray[Any]) -> int:
        """Append an array; its offset."""
        offset, content = self._size, array.tobytes()
        padded = content + bytes(-len(content) % _ALIGNMENT)
        self._parts.append(padded)
        self._size += len(padded)
        return offset

    def content(self) -> bytes:
        return b"".join(self._parts)


def plan_source(
    operators: Sequence[Operator], symbols: Sequence[str], constants: _Constants
) -> str:
    """C that defines ``bitat_deploy_plan``; the operators' constants are added to ``constants``.

    The image has memory of its own, as it is read in every run: the rest share an arena.
    """
    image = operators[0].inputs[0]
    arena_bytes, offsets = arena_layout([_bytes(operator.output) for operator in operators])
    tensors = [_tensor("input", image, "image")]
    calls, entries = [], []
    current = "input"
    for index, (operator, symbol) in enumerate(zip(operators, symbols, strict=True)):
        arguments = [current]
        for number, array in enumerate(operator.constants()):
            name = f"constant{index}_{number}"
            spec = TensorSpec(array.shape, array.dtype.name)
            tensors.append(_tensor(name, spec, f"constants + {constants.add(array)}"))
            arguments.append(name)
        current = f"output{index}"
        tensors.append(_tensor(current, operator.output, f"arena + {offsets[index]}"))
        arguments.append(current)
        values = ", ".join(f"TENSOR({name})" for name in arguments)
        calls.append(f"extern KERNEL(__tvm_ffi_{symbol});")
        calls.append(f"static const TVMFFIAny arguments{index}[] = {{{values}}};")
        entries.append(f'  {{"{symbol}", __tvm_ffi_{symbol}, arguments{index}, {len(arguments)}}},')
    lines = [
        "/* Generated by bitat-deploy. */",
        '#include "plan.h"',
        "#define TENSOR(name) {.type_index = kTVMFFIDLTensorPtr, .v_ptr = (void*)&name}",
        "#define KERNEL(name) int name(void*, const TVMFFIAny*, int32_t, TVMFFIAny*)",
        f"alignas({_ALIGNMENT}) static uint8_t image[{_bytes(image)}];",
        f"alignas({_ALIGNMENT}) static uint8_t arena[{arena_bytes}];",
        f"alignas({_ALIGNMENT}) static const uint8_t constants[] = {{",
        '#embed "constants"',
        "};",
        *tensors,
        *calls,
        "static const struct Call calls[] = {",
        *entries,
        "};",
        f"const struct Plan bitat_deploy_plan = {{calls, {len(operators)}, &input, &{current}}};",
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, spec: TensorSpec, data: str) -> str:
    dtype = np.dtype(spec.dtype)
    strides = [math.prod(spec.shape[axis + 1 :]) for axis in range(len(spec.shape))]
    return (
        f"static const DLTensor {name} = {{.data = (void*)({data}), .device = {{kDLCPU, 0}}, "
        f".ndim = {len(spec.shape)}, "
        f".dtype = {{{_TYPE_CODES[dtype.kind]}, {dtype.itemsize * 8}, 1}}, "
        f".shape = {_numbers(spec.shape)}, .strides = {_numbers(strides)}}};"
    )


def _numbers(values: Sequence[int]) -> str:
    return f"(int64_t[]){{{', '.join(map(str, values))}}}" if values else "nullptr"


def _bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
