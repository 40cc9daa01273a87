"""Layers that are not ours: standard ONNX nodes to TIR functions, by TVM's own operators."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper
from tvm import relax, tirx
from tvm.error import OpNotImplemented
from tvm.ir import IRModule, TupleType
from tvm.ir.transform import Sequential
from tvm.relax import transform
from tvm.relax.backend import DispatchSortScan
from tvm.relax.frontend.onnx import from_onnx

from bitat_deploy.compiler.float_schedule import schedule_functions
from bitat_deploy.compiler.relax_module import build_executable, tvm_target
from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.foreign import (
    FloatLayer,
    Graph,
    describe_node,
    float_layers,
    float_model,
    single_layer,
)
from bitat_deploy.target import Target

_LONGEST_QUOTE = 200  # characters of what TVM says
_LIBRARY_CALL = re.compile(r'T\.call_packed\("([^"]+)"')
_PASSES = Sequential(
    [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        transform.FoldConstant(),
        DispatchSortScan(),
        DispatchSortScan(),
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
        transform.DeadCodeElimination(),
    ]
)


@dataclass(frozen=True, eq=False)
class FloatRegion:
    """A layer as a Relax module, whose ``main`` calls its TIR functions one by one."""

    layer: FloatLayer
    module: IRModule

    def functions(self) -> int:
        """How many TIR functions there are."""
        return sum(isinstance(f, tirx.PrimFunc) for f in self.module.functions.values())


def import_region(graph: Graph, layer: FloatLayer, target: Target) -> FloatRegion:
    """Compile a layer's nodes to TIR.

    Raises UnsupportedOperatorError naming the operator and node that TVM does not compile.
    """
    try:
        return _region(graph, layer, target)
    except Exception as error:  # TVM raises whatever its converters and passes meet
        raise _unsupported(graph, layer, target, error) from error


def _region(graph: Graph, layer: FloatLayer, target: Target) -> FloatRegion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors' names, which it makes into identifiers
        module = from_onnx(float_model(graph, layer))
    with tvm_target(target):
        region = FloatRegion(layer, schedule_functions(_PASSES(module), target))
    _check_lowered(graph, region)
    return region


def _check_lowered(graph: Graph, region: FloatRegion) -> None:
    """Raise ValueError where TVM left an operator, or gives what the file does not give."""
    main = region.module["main"]
    for binding in (binding for block in main.body.blocks for binding in block.bindings):
        if isinstance(binding.value, relax.Call) and not _calls_function(binding.value):
            raise ValueError(f"it has no code for {binding.value.op}")
    for function in region.module.functions.values():
        if isinstance(function, tirx.PrimFunc):
            library = _LIBRARY_CALL.search(function.script())
            if library is not None:
                raise ValueError(f"it calls {library[1]}, which a device's runtime does not have")
    types = _tensor_types(main.ret_ty)
    for tensor, found in zip(region.layer.outputs, types, strict=True):
        wanted = graph.types[tensor]
        dtype = helper.tensor_dtype_to_np_dtype(wanted.element).name
        shape = tuple(int(size) for size in found.shape)
        if (shape, str(found.dtype)) != (wanted.shape, dtype):
            raise ValueError(
                f"it gives {found.dtype} {list(shape)} for {dtype} {list(wanted.shape)}"
            )


def _unsupported(
    graph: Graph, layer: FloatLayer, target: Target, error: Exception
) -> UnsupportedOperatorError:
    """The first node that fails by itself, or the layer's main one where none does."""
    culprit: onnx.NodeProto = next(node for node in layer.nodes if node.name == layer.name)
    if len(layer.nodes) > 1:
        for node in layer.nodes:
            try:
                _build(_region(graph, single_layer(graph, node), target), graph, target)
            except Exception as cause:
                culprit, error = node, cause
                break
    if isinstance(error, OpNotImplemented):
        return UnsupportedOperatorError(
            f"{describe_node(culprit)} is not supported: neither bitat-deploy nor TVM has it; "
            "leave it out of the network, or express it in other operators"
        )
    message = (str(error).strip().splitlines() or ["unknown"])[-1][:_LONGEST_QUOTE]
    return UnsupportedOperatorError(
        f"{describe_node(culprit)} is not supported: TVM does not compile it ({message}); leave it "
        "out of the network, or express it in other operators"
    )


def unsupported_layer(
    graph: Graph, target: Target, error: Exception
) -> UnsupportedOperatorError | None:
    """Of a network that TVM failed to build with ``error``, which layer fails by itself.

    None where each builds.
    """
    for layer in float_layers(graph).values():
        try:
            _build(_region(graph, layer, target), graph, target)
        except Exception as cause:
            return _unsupported(graph, layer, target, cause)
    return None


def _build(region: FloatRegion, graph: Graph, target: Target) -> None:
    """Compile a region by itself; raises whatever TVM raises."""
    types = {tensor: graph.types[tensor] for tensor in region.layer.inputs}
    inputs = [
        relax.Var(
            f"input{index}",
            relax.TensorType(kind.shape, helper.tensor_dtype_to_np_dtype(kind.element).name),
        )
        for index, kind in enumerate(types.values())
    ]
    builder = relax.BlockBuilder()
    symbols = [f"function{index}" for index in range(len(calls_of(region)))]
    with builder.function("main", inputs):
        with builder.dataflow():
            values = emit_region(builder, region, dict(zip(types, inputs, strict=True)), symbols)
            result = builder.emit_output(relax.Tuple(list(values.values())))
        builder.emit_func_output(result)
    build_executable(builder.get(), target)


def emit_region(
    builder: relax.BlockBuilder,
    region: FloatRegion,
    values: Mapping[str, Any],
    symbols: list[str],
) -> dict[str, Any]:
    """Call a region's functions in ``builder``; gives its outputs by tensor.

    ``symbols`` names the functions in the order in which they are called.
    """
    main = region.module["main"]
    names = iter(symbols)
    known: dict[Any, Any] = {
        parameter: values[tensor]
        for parameter, tensor in zip(main.params, region.layer.inputs, strict=True)
    }

    def moved(expression: Any) -> Any:
        if isinstance(expression, relax.Var):
            return known[expression]
        if isinstance(expression, relax.Tuple):
            return relax.Tuple([moved(field) for field in expression.fields])
        if isinstance(expression, relax.TupleGetItem):
            return relax.TupleGetItem(moved(expression.tuple_value), expression.index)
        if isinstance(expression, relax.Call):
            arguments = [moved(argument) for argument in expression.args]
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
        return expression

    for block in main.body.blocks:
        for binding in block.bindings:
            value = binding.value
            if _calls_function(value):
                symbol = next(names)
                function = region.module[value.args[0]].with_attr("global_symbol", symbol)
                moved_function = builder.add_func(function, symbol)
                arguments = moved(value.args[1])
                types = _tensor_types(binding.var.ty)
                several = types if len(types) > 1 else types[0]
                value = relax.call_tir(moved_function, arguments, several)
                known[binding.var] = builder.emit(value)
            else:
                known[binding.var] = builder.emit(builder.normalize(moved(value)))
    result = moved(main.body.body)
    outputs = region.layer.outputs
    if len(outputs) == 1 and not isinstance(result, relax.Tuple):
        return {outputs[0]: result}
    return {
        tensor: builder.emit(relax.TupleGetItem(result, index))
        for index, tensor in enumerate(outputs)
    }


def calls_of(region: FloatRegion) -> list[Any]:
    """The bindings of a region's main that call a TIR function, in order."""
    blocks = region.module["main"].body.blocks
    return [b for block in blocks for b in block.bindings if _calls_function(b.value)]


def _calls_function(value: Any) -> bool:
    return isinstance(value, relax.Call) and getattr(value.op, "name", "") == "relax.call_tir"


def _tensor_types(kind: Any) -> list[Any]:
    """The types of a tuple's tensors, or of the one tensor."""
    return list(kind.fields) if isinstance(kind, TupleType) else [kind]
