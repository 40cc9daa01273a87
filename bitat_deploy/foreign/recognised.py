"""Summarises what of a file became ours, and how fast the rest is."""

from bitat_deploy.foreign.binarized import CONVOLUTIONS
from bitat_deploy.foreign.graph import Graph, describe, multiply_accumulates
from bitat_deploy.foreign.levels import two_values
from bitat_deploy.foreign.rewrite import Rewritten

_LEAST = 5  # weights per output: fewer may have two values by chance

# Of multiply-accumulates in float32, from which on their time is worth a word; and that time, by
# TVM's code, in times of ONNX Runtime's: MLPerf Tiny's networks and MobileNetV2 on x86-64 with
# AVX-512 (scripts/bench-models, networks that end in "-file"; docs/performance.md).
_MUCH = 0.1
_SLOWER = "1.5 to 3.4"


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


def describe_float_speed(graph: Graph, rewritten: Graph) -> str:
    """How fast what stays in float32 is; empty where that is little of the file's ``graph``."""
    whole, rest = (
        sum(multiply_accumulates(one, node) for node in one.nodes) for one in (graph, rewritten)
    )
    if rest < _MUCH * whole:
        return ""
    return (
        f"{rest / whole:.0%} of the multiply-accumulates stay in float32; float layers run at "
        f"about {_SLOWER} times ONNX Runtime's time"
    )


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
