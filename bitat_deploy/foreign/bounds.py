"""How large a network from elsewhere may be, checked before anything of that size is made."""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import onnx

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.foreign.graph import TensorType, describe

_MOST_NODES = 20_000  # once functions are inlined; the largest classifiers have a few thousand
_MOST_VALUES = 1 << 28  # of a tensor: a gigabyte of float32


def refuse_many_nodes(model: onnx.ModelProto, path: Path) -> None:
    """Count what inlining of functions would make. Raises InputError where that is too much."""
    bodies = {(f.domain, f.name): f.node for f in model.functions}
    counts: dict[tuple[str, str], int] = {}

    def count(nodes: Iterable[onnx.NodeProto], above: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in above:
                raise InputError(
                    f"the function '{node.op_type}' of '{path}' calls itself; export it again"
                )
            if key in bodies and key not in counts:
                counts[key] = count(bodies[key], (*above, key))
            total += counts.get(key, 1)
        return total

    try:
        total = count(model.graph.node, ())
    except RecursionError as error:
        raise InputError(
            f"the functions of '{path}' call each other too deeply; export it again without "
            "functions"
        ) from error
    if total > _MOST_NODES:
        raise InputError(
            f"'{path}' has {total:,} nodes, at most {_MOST_NODES:,} are supported; make the "
            "network smaller"
        )


def refuse_large_tensors(
    nodes: Iterable[onnx.NodeProto], types: Mapping[str, TensorType], path: Path
) -> None:
    """Raise UnsupportedOperatorError for a node that writes too large a tensor."""
    for node in nodes:
        values = max((prod(types[t].shape) for t in node.output if t in types), default=0)
        if values > _MOST_VALUES:
            raise UnsupportedOperatorError(
                f"{describe(node)} of '{path}' writes a tensor of {values:,} values, at most "
                f"{_MOST_VALUES:,} are supported; make the network smaller"
            )
