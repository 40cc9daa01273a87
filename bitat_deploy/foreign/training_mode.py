"""Handles operators that were exported in training mode, often by mistake."""

from dataclasses import replace

import onnx
from onnx import helper

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.foreign.graph import NOTE, Graph, attributes, describe


def without_training_mode(graph: Graph) -> Graph:
    """Replace them by inference operators with the same result for one picture, and add a note.

    Batch normalisation in training mode uses the moments of its input, which for one picture is
    ``InstanceNormalization``. Raises UnsupportedOperatorError if an operator draws random numbers
    or its moments are read.
    """
    nodes, found = [], []
    for node in graph.nodes:
        if node.op_type == "Dropout" and _drops(graph, node):
            raise UnsupportedOperatorError(
                f"{describe(node)} drops values at random; export the network in evaluation mode "
                "(in PyTorch after model.eval())"
            )
        if node.op_type == "BatchNormalization" and attributes(node).get("training_mode", 0):
            found.append(node.name)
            node = _of_one_picture(graph, node)
        nodes.append(node)
    if not found:
        return graph
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    note = (
        f"batch normalization '{found[0]}'{others}: in training mode, so each picture's own mean "
        "and variance are used, as the file says; export the network in evaluation mode if that "
        "is not intended"
    )
    return replace(graph, nodes=tuple(nodes), metadata=graph.metadata | {NOTE: note})


def _drops(graph: Graph, node: onnx.NodeProto) -> bool:
    _, ratio, training = [*node.input, "", ""][:3]
    if not training:
        return False
    sure = all(tensor in graph.constants for tensor in (ratio, training) if tensor)
    share = graph.constants[ratio].item() if sure and ratio else 0.5
    return not sure or (bool(graph.constants[training].item()) and share > 0)


def _of_one_picture(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto:
    read = {tensor for other in graph.nodes for tensor in other.input} | {graph.output}
    kind = graph.types.get(node.output[0])
    if read & set(node.output[1:]) or kind is None or len(kind.shape) < 3:
        raise UnsupportedOperatorError(
            f"{describe(node)} is in training mode; export the network in evaluation mode (in "
            "PyTorch after model.eval())"
        )
    return helper.make_node(
        "InstanceNormalization",
        list(node.input[:3]),
        [node.output[0]],
        name=node.name,
        epsilon=attributes(node).get("epsilon", 1e-5),
    )
