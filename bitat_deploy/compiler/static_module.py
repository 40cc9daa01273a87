"""From operators to one object file: their kernels, their constants, and the plan of the calls.

What a static runner is linked with. No virtual machine is needed: all that it would work out, the
order of calls and where tensors lie, is known here, and becomes initialised data in generated C.
"""

import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi.libinfo
from numpy.typing import NDArray

from bitat_deploy.compiler.cross_compiler import compile_c, link_relocatable
from bitat_deploy.compiler.layer_report import layer_symbols
from bitat_deploy.compiler.lowering import LoweredLayer
from bitat_deploy.compiler.relax_module import OBJECT_BYTES, tvm_target
from bitat_deploy.files import check_room, scratch_folder
from bitat_deploy.network import IMAGE
from bitat_deploy.operators import TensorSpec
from bitat_deploy.target import Target

_ALIGNMENT = 64  # what TVM's kernels take for granted
_TYPE_CODES = {"i": "kDLInt", "u": "kDLUInt", "f": "kDLFloat"}


def build_object(
    layers: Sequence[LoweredLayer], target: Target, output: Path, description: str
) -> None:
    """Compile layers to a relocatable object file for ``target``.

    Each layer comes after those that it reads; the last one writes the logits. The file defines
    ``bitat_deploy_plan`` as in ``runner/static/plan.h``, with ``description`` in it. Raises
    BuildError.
    """
    symbols = layer_symbols([layer.report.name for layer in layers])
    functions = {
        symbol: layer.operator.prim_func().with_attr("global_symbol", symbol)
        for layer, symbol in zip(layers, symbols, strict=True)
    }
    with (
        scratch_folder() as folder,
        resources.as_file(resources.files("bitat_deploy.runner.static")) as headers,
    ):
        check_room(folder, OBJECT_BYTES)
        kernels, plan = folder / "kernels.o", folder / "plan.c"
        compiled = tvm.compile(tvm.IRModule(functions), target=tvm_target(target))
        compiled.mod.write_to_file(str(kernels))
        constants = _Constants()
        plan.write_text(plan_source(layers, symbols, constants), encoding="utf-8")
        (folder / "constants").write_bytes(constants.content())
        (folder / "description").write_text(description, encoding="utf-8")
        includes = [headers, Path(tvm_ffi.libinfo.find_include_path())]
        compile_c(plan, folder / "plan.o", target, include_directories=includes)
        link_relocatable([kernels, folder / "plan.o"], output, target)


def arena_layout(sizes: Sequence[int], last_uses: Sequence[int]) -> tuple[int, list[int]]:
    """Bytes of an arena, and an offset in it for each tensor.

    Tensor i, of ``sizes[i]`` bytes, is written by call i and lives until call ``last_uses[i]``.
    Each gets the lowest place that is free all its life, either in the order of the calls or the
    largest first, whichever needs less.
    """
    order = range(len(sizes))
    by_size = sorted(order, key=lambda index: -sizes[index])
    return min(_first_fit(sizes, last_uses, one) for one in (order, by_size))


def _first_fit(
    sizes: Sequence[int], last_uses: Sequence[int], order: Sequence[int]
) -> tuple[int, list[int]]:
    aligned = [-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]
    offsets: dict[int, int] = {}
    for index in order:
        taken = sorted(
            (offset, offset + aligned[other])
            for other, offset in offsets.items()
            if index <= last_uses[other] and other <= last_uses[index]
        )
        place = 0
        for start, end in taken:
            if place + aligned[index] <= start:
                break
            place = max(place, end)
        offsets[index] = place
    total = max((offset + aligned[index] for index, offset in offsets.items()), default=0)
    return total, [offsets[index] for index in range(len(sizes))]


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
    layers: Sequence[LoweredLayer], symbols: Sequence[str], constants: _Constants
) -> str:
    """C that defines ``bitat_deploy_plan``; the operators' constants are added to ``constants``.

    The image has memory of its own, as it is read in every run: the rest share an arena.
    """
    operators = [layer.operator for layer in layers]
    image = operators[0].inputs[0]
    sizes = [_bytes(operator.output) for operator in operators]
    arena_bytes, offsets = arena_layout(sizes, _last_uses(layers))
    tensors = [_tensor("input", image, "image")]
    calls, entries = [], []
    variables = {IMAGE: "input"}  # of each layer's output
    current = "input"
    for index, (layer, symbol) in enumerate(zip(layers, symbols, strict=True)):
        operator = layer.operator
        arguments = [variables[name] for name in layer.inputs]
        for number, array in enumerate(operator.constants()):
            name = f"constant{index}_{number}"
            spec = TensorSpec(array.shape, array.dtype.name)
            tensors.append(_tensor(name, spec, f"constants + {constants.add(array)}"))
            arguments.append(name)
        current = f"output{index}"
        tensors.append(_tensor(current, operator.output, f"arena + {offsets[index]}"))
        arguments.append(current)
        variables[layer.report.name] = current
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
        "static const char description[] = {",
        '#embed "description"',
        ", 0};",
        *tensors,
        *calls,
        "static const struct Call calls[] = {",
        *entries,
        "};",
        "const struct Plan bitat_deploy_plan = "
        f"{{calls, {len(operators)}, &input, &{current}, description}};",
    ]
    return "\n".join(lines) + "\n"


def _last_uses(layers: Sequence[LoweredLayer]) -> list[int]:
    """The last call that needs each layer's output; the network's own output outlives the calls."""
    index_of = {layer.report.name: index for index, layer in enumerate(layers)}
    last = list(range(len(layers)))
    for index, layer in enumerate(layers):
        for name in layer.inputs:
            if name in index_of:
                last[index_of[name]] = index
    last[-1] = len(layers)
    return last


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
