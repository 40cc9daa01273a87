"""Layers that are not ours: standard ONNX nodes to TIR functions, by TVM's own operators."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from tvm import relax, tirx
from tvm.error import OpNotImplemented
from tvm.ir import IRModule
from tvm.ir.transform import Sequential
from tvm.relax import transform
from tvm.relax.frontend.onnx import from_onnx

from bitat_deploy.compiler.float_schedule import schedule_functions
from bitat_deploy.compiler.relax_module import tvm_target
from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.foreign.float_layers import FloatLayer, float_model
from bitat_deploy.foreign.graph import Graph, describe
from bitat_deploy.target import Target

_PASSES = Sequential(
    [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        transform.FoldConstant(),
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

    Raises UnsupportedOperatorError naming the operator and node that TVM does not know.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors' names, which it makes into identifiers
            module = from_onnx(float_model(graph, layer))
    except Exception as error:  # TVM's importer raises whatever its converters meet
        raise _unsupported(layer, error) from error
    try:
        with tvm_target(target):
            return FloatRegion(layer, schedule_functions(_PASSES(module), target))
    except Exception as error:
        raise _unsupported(layer, error) from error


def _unsupported(layer: FloatLayer, error: Exception) -> UnsupportedOperatorError:
    message = (str(error).strip().splitlines() or ["unknown"])[-1]
    culprit: onnx.NodeProto = layer.nodes[0]
    if isinstance(error, OpNotImplemented):
        named = message.rpartition(":")[2]
        words = {word.strip() for word in named.split(",")}
        culprit = next((node for node in layer.nodes if node.op_type in words), culprit)
        return UnsupportedOperatorError(
            f"{describe(culprit)} is not supported: neither bitat-deploy nor TVM has it; leave it "
            "out of the network, or spell it in other operators"
        )
    return UnsupportedOperatorError(
        f"{describe(culprit)} is not supported: TVM does not compile it ({message})"
    )


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
                value = relax.call_tir(moved_function, arguments, binding.var.ty)
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
