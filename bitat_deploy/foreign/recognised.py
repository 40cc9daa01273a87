"""Summarises how many of a file's binary convolutions were recognised."""

from bitat_deploy.foreign.binarized import CONVOLUTIONS
from bitat_deploy.foreign.graph import Graph, describe
from bitat_deploy.foreign.levels import two_values
from bitat_deploy.foreign.rewrite import Rewritten

_LEAST = 5  # weights per output: fewer may have two values by chance


def describe_recognised(graph: Graph, rewritten: Rewritten) -> str:
    """Count the two-valued convolutions of the file's ``graph``, and name the first obstacle.

    Matrix products count as convolutions of one pixel.
    """
    binary = [node for node in graph.nodes if _two_valued(graph, node.op_type, list(node.input))]
    if not binary:
        return "no convolution has two-valued weights"
    missed = [node for node in binary if node.name not in rewritten.in_file]
    words = (
        f"{len(binary) - len(missed)} of {len(binary)} convolutions with two-valued weights "
        "recognised"
    )
    if not missed:
        return words
    reason = rewritten.reasons.get(missed[0].name, "its operator is of another kind")
    return f"{words}; first obstacle: {describe(missed[0])}: {reason}"


def _two_valued(graph: Graph, operator: str, inputs: list[str]) -> bool:
    weight = graph.constants.get(inputs[1]) if operator in CONVOLUTIONS else None
    if weight is None or weight.ndim < 2:
        return False
    # Outputs are the columns of a MatMul, of a Gemm rows or columns: try both.
    rows = [weight.reshape(len(weight), -1)] + ([weight.T] if weight.ndim == 2 else [])
    return any(
        matrix.shape[1] >= _LEAST and all(two_values(row) is not None for row in matrix)
        for matrix in rows
    )
