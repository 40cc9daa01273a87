"""Loads any ONNX file as a graph for one image, with functions inlined and constants folded."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, inliner, numpy_helper, shape_inference, version_converter

from bitat_deploy.bounded_process import is_out_of_memory
from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.foreign.bounds import refuse_large_tensors, refuse_many_nodes
from bitat_deploy.foreign.execute import Subgraph
from bitat_deploy.foreign.graph import Graph, TensorType, describe
from bitat_deploy.foreign.input_size import fix_input
from bitat_deploy.foreign.normalizations import write_out_normalizations
from bitat_deploy.foreign.one_dimension import with_rows
from bitat_deploy.foreign.qlinear import lower_qlinear
from bitat_deploy.foreign.qonnx import lower_qonnx
from bitat_deploy.foreign.training_mode import without_training_mode
from bitat_deploy.onnx_format import OPSET, load_onnx
from bitat_deploy.plain_text import foreign_text, message_lines

_STANDARD_DOMAINS = ("", "ai.onnx")
_NOT_CONSTANT = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"}


def load_graph(path: Path, input_shape: tuple[int, ...] | None = None) -> Graph:
    """Read an ONNX file with one image as input and one vector of logits as output.

    ``input_shape`` (height, width, or these and the channels) is for files that leave it open.
    QONNX's quantizers are written out in standard operators. Raises InputError for a file that is
    missing, damaged or of another shape, UnsupportedOperatorError naming a node.
    """
    model = _standard(load_onnx(path, from_elsewhere=True), path)
    for node in model.graph.node:
        if any(entry.HasField("g") or entry.graphs for entry in node.attribute):
            raise UnsupportedOperatorError(
                f"{describe(node)} of '{path}' has a branch or a loop; networks without are "
                "supported"
            )
    initializers = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    inputs = [value for value in model.graph.input if value.name not in initializers]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise InputError(
            f"'{path}' has {len(inputs)} inputs and {len(model.graph.output)} outputs; "
            "a network with one image input and one output is needed"
        )
    fix_input(inputs[0], path, input_shape)
    model, dequantized = _without_shape_arithmetic(model, path)
    (value,) = [entry for entry in model.graph.input if entry.name == inputs[0].name]
    graph = Graph(
        name=model.graph.name or path.stem,
        nodes=tuple(model.graph.node),
        constants={t.name: numpy_helper.to_array(t) for t in model.graph.initializer},
        types=_types(model),
        input=value.name,
        output=model.graph.output[0].name,
        opset=_operator_set(model),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        dequantized=dequantized,
    ).without_dead_nodes()
    graph = without_training_mode(graph)
    unknown = [n for n in graph.nodes if any(t and t not in graph.types for t in n.output)]
    if unknown:
        raise UnsupportedOperatorError(
            f"the size of what {describe(unknown[0])} of '{path}' writes is not known before it "
            "runs; export the network with an input of fixed size"
        )
    if not graph.types[graph.output].is_float:
        raise InputError(f"the output '{graph.output}' of '{path}' is not float32")
    return with_rows(graph)


def _standard(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model in standard operators of our operator set or a newer one."""
    refuse_many_nodes(model, path)
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        if _operator_set(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
    except (RuntimeError, ValueError, shape_inference.InferenceError) as error:
        raise InputError(
            f"'{path}' cannot be converted to ONNX operator set {OPSET} "
            f"({message_lines(error)[0]}); export it with that operator set"
        ) from error
    # After the conversion, because they expand to operators of our operator set.
    model = lower_qlinear(lower_qonnx(model))
    model = write_out_normalizations(model, _operator_set(model))
    tensors = [tensor for node in model.graph.node for tensor in (*node.input, *node.output)]
    if not all(tensor.isprintable() for tensor in tensors):
        raise InputError(
            f"'{path}' has names with characters that cannot be printed; export it again"
        )
    names: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if node.domain not in _STANDARD_DOMAINS:
            raise UnsupportedOperatorError(
                f"{describe(node)} of '{path}' is not supported; supported are ONNX's standard "
                "operators, QONNX's Quant and BipolarQuant, and bitat-deploy's own"
            )
        if not node.name or node.name in names or not node.name.isprintable():
            node.name = f"{node.op_type}_{index}"
        names.add(node.name)
    return model


def _operator_set(model: onnx.ModelProto) -> int:
    versions = [e.version for e in model.opset_import if e.domain in _STANDARD_DOMAINS]
    return max(versions, default=1)


def _without_shape_arithmetic(
    model: onnx.ModelProto, path: Path
) -> tuple[onnx.ModelProto, dict[str, onnx.NodeProto]]:
    """Fold everything that depends only on weights and on shapes, which are known for one image.

    Also gives the DequantizeLinear nodes among it, by the constant that each makes; what they
    read is kept.
    """
    dequantized: dict[str, onnx.NodeProto] = {}
    graph = model.graph
    for value in [*graph.output, *graph.value_info]:
        value.type.tensor_type.ClearField("shape")  # of another batch
    del graph.value_info[:]
    while True:
        try:
            model = shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
        except (RuntimeError, ValueError, shape_inference.InferenceError) as error:
            raise InputError(
                f"the shapes in '{path}' contradict each other: {message_lines(error)[-1]}"
            ) from error
        types = _types(model)
        refuse_large_tensors(model.graph.node, types, path)
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        known = set(constants)
        foldable, rest = [], []
        for node in model.graph.node:
            shaped = node.op_type == "Shape" and node.input[0] in types
            fixed = all(not t or t in known for t in node.input)
            if shaped and not fixed:
                constants[node.output[0]] = _shape(node, types[node.input[0]].shape)
                known.add(node.output[0])
            elif fixed and node.op_type not in _NOT_CONSTANT:
                foldable.append(node)
                known.update(node.output)
            else:
                rest.append(node)
        needed = {t for node in rest for t in node.input} | {o.name for o in model.graph.output}
        for node in foldable:
            if node.op_type == "DequantizeLinear":
                dequantized[node.output[0]] = node
        needed |= {tensor for node in dequantized.values() for tensor in node.input}
        written = {t for node in foldable for t in node.output}
        outputs = sorted(needed & written)
        if outputs:
            values = _computed(foldable, constants, outputs, _operator_set(model), path)
            constants |= dict(zip(outputs, values, strict=True))
        done = len(rest) == len(model.graph.node)
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.extend(rest)
        kept = {key: value for key, value in constants.items() if key in needed}
        model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in kept.items())
        inputs = [value for value in model.graph.input if value.name not in constants]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        if done:
            return model, dequantized


def _computed(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    outputs: list[str],
    opset: int,
    path: Path,
) -> list[NDArray[Any]]:
    """The values of ``outputs``, which depend on ``constants`` alone."""
    try:
        return Subgraph(nodes, constants, {}, outputs, opset).run({})
    except Exception as error:  # ONNX Runtime's exceptions have no public common base
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        reason = foreign_text(str(error))
        culprit = next((node for node in nodes if f"'{node.name}'" in reason), nodes[0])
        raise UnsupportedOperatorError(
            f"{describe(culprit)} of '{path}', whose inputs are constants, cannot be computed by "
            f"ONNX Runtime: {reason}"
        ) from error


def _shape(node: onnx.NodeProto, shape: tuple[int, ...]) -> NDArray[np.int64]:
    values = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    start, end = values.get("start", 0), values.get("end", len(shape))
    return np.array(shape[start:end], np.int64)


def _types(model: onnx.ModelProto) -> dict[str, TensorType]:
    """Types of all tensors whose shape is known."""
    graph = model.graph
    types = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        kind = value.type.tensor_type
        sizes: list[Any] = [
            d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim
        ]
        if kind.HasField("shape") and None not in sizes:
            types[value.name] = TensorType(tuple(sizes), kind.elem_type)
    return types
