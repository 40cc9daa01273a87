"""From operators to one Relax module, and from that to a shared library for the target."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tvm import relax
from tvm.ir import IRModule
from tvm.ir.transform import Sequential
from tvm.relax import transform
from tvm.target import Target as TvmTarget
from tvm.target import codegen

from bitat_deploy.compiler.cross_compiler import link_shared
from bitat_deploy.compiler.layer_report import layer_symbols
from bitat_deploy.compiler.lowering import LoweredLayer
from bitat_deploy.errors import InputError
from bitat_deploy.files import check_room, scratch_folder
from bitat_deploy.network import IMAGE
from bitat_deploy.target import Target

ENTRY_POINT = "main"

# Room for what LLVM writes, of networks that fit a small board.
OBJECT_BYTES = 64 << 20

_MAXIMUM_VALUES = 2**29  # of a tensor: kernels' indices are int32

# Relax's default pipeline, less the passes that look for patterns in TIR (they expect schedulable
# blocks, which our finished kernels do not have) and those that a chain of call_tir does not need.
_PIPELINE = Sequential(
    [
        transform.ToNonDataflow(),
        transform.RemovePurityChecking(),
        transform.CallTIRRewrite(),
        transform.StaticPlanBlockMemory(),
        transform.LowerAllocTensor(),
        transform.KillAfterLastUse(),
        transform.LowerRuntimeBuiltin(),
        transform.ComputePrimValue(),
        transform.VMShapeLower(),
        transform.AttachGlobalSymbol(),
    ]
)


@functools.cache
def tvm_target(target: Target) -> TvmTarget:
    """The target as TVM's LLVM backend takes it.

    Raises InputError for a processor or a feature that LLVM does not know: it would generate code
    for another one, or abort.
    """
    remedy = "correct the target's file"
    if not codegen.llvm_is_valid_cpu(target.cpu, target.triple):
        raise InputError(
            f"the cpu '{target.cpu}' of target '{target.name}' is none that LLVM knows for "
            f"{target.triple}; {remedy}"
        )
    processor: dict[str, Any] = {"kind": "llvm", "mtriple": target.triple, "mcpu": target.cpu}
    if target.triple.endswith("eabihf"):
        processor["mfloat-abi"] = "hard"  # said in the object file, which linkers compare
    # What is switched on that LLVM knows is then there, also where the processor lacks it.
    switched_on = [f"+{feature[1:]}" for feature in target.features]
    known = set(codegen.llvm_get_cpu_features(TvmTarget({**processor, "mattr": switched_on})))
    for feature in target.features:
        if feature[1:] not in known:
            raise InputError(
                f"the feature '{feature}' of target '{target.name}' is none that LLVM knows for "
                f"{target.cpu}; {remedy}"
            )
    features = list(target.features)
    return TvmTarget({**processor, "mattr": features, "num-cores": target.cores})


def relax_module(
    input_shape: tuple[int, int, int], layers: Sequence[LoweredLayer], batch: int = 1
) -> IRModule:
    """Layers as a Relax function ``main``: image uint8 [batch, *input_shape] to logits float32.

    Each layer comes after those that it reads; the last one writes the logits. Weights and
    thresholds become constants of the module. Raises InputError where there are too many images.
    """
    for layer in layers:
        if batch * layer.operator.output.size > _MAXIMUM_VALUES:
            raise InputError(
                f"the output of layer '{layer.report.name}' is too large for {batch} images at "
                "once; choose a smaller --batch"
            )
    builder = relax.BlockBuilder()
    image = relax.Var(IMAGE, relax.TensorType((batch, *input_shape), "uint8"))
    values: dict[str, Any] = {IMAGE: image}
    names = [layer.report.name for layer in layers]
    with builder.function(ENTRY_POINT, [image]):
        with builder.dataflow():
            for layer, symbol in zip(layers, layer_symbols(names), strict=True):
                values[layer.report.name] = emit_layer(builder, layer, values, symbol, batch)
            logits = builder.emit_output(values[names[-1]])
        builder.emit_func_output(logits)
    return builder.get()


def emit_layer(
    builder: relax.BlockBuilder,
    layer: LoweredLayer,
    values: Mapping[str, Any],
    symbol: str,
    batch: int = 1,
) -> Any:
    """Add a layer's function as ``symbol`` and a call of it on ``values``, by name; its result."""
    operator = layer.operator
    function = operator.prim_func(batch).with_attr("global_symbol", symbol)
    inputs = [values[name] for name in layer.inputs]
    constants = [relax.const(array) for array in operator.constants()]
    output = relax.TensorType((batch, *operator.output.shape[1:]), operator.output.dtype)
    call = relax.call_tir(builder.add_func(function, symbol), [*inputs, *constants], output)
    return builder.emit(call)


def build_executable(module: IRModule, target: Target) -> Any:
    """Compile a Relax module for ``target``."""
    return relax.build(module, tvm_target(target), relax_pipeline=_PIPELINE)


def build_shared_library(module: IRModule, target: Target, output: Path) -> None:
    """Compile a Relax module and link it for ``target``.

    Raises BuildError where the cross compiler fails.
    """
    executable = build_executable(module, target)

    def link(file_name: str, objects: Sequence[str], **_: Any) -> None:
        link_shared([Path(name) for name in objects], Path(file_name), target)

    with scratch_folder() as workspace:
        check_room(workspace, OBJECT_BYTES)
        executable.export_library(str(output), fcompile=link, workspace_dir=str(workspace))
