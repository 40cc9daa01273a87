"""Finds where the NaN or infinity in a file's answers comes from."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from bitat_deploy.errors import InputError
from bitat_deploy.foreign.check import reference_outputs
from bitat_deploy.foreign.graph import Graph, describe
from bitat_deploy.onnx_format import load_onnx


def refuse_not_finite(
    path: Path, graph: Graph, pictures: NDArray[np.uint8], logits: NDArray[np.float32]
) -> None:
    """Raise InputError where the file's ``logits`` of most pictures are not finite.

    The message names the initializer in ``path``, or the first node of ``graph`` that causes it.
    """
    finite = np.isfinite(logits).all(axis=1)
    if finite.mean() > 0.5:
        return
    what = "NaN" if np.isnan(logits[~finite]).any() else "infinity"
    count = f"{int((~finite).sum())} of {len(logits)} drawn pictures"
    raise InputError(
        f"'{path}' itself gives {what} for {count}, in ONNX Runtime too: "
        f"{_cause(path, graph, pictures[~finite][:1])}; export it with sound numbers"
    )


def _cause(path: Path, graph: Graph, pictures: NDArray[np.uint8]) -> str:
    initializers = load_onnx(path, from_elsewhere=True).graph.initializer
    stored = (
        (tensor.name, numpy_helper.to_array(tensor))
        for tensor in initializers
        if tensor.data_type != TensorProto.STRING
    )
    found = _not_a_number(stored) or _not_a_number(graph.constants.items())
    if found is not None:
        return found
    types = [(tensor, kind) for tensor, kind in graph.types.items() if kind.is_float]
    written = {tensor for node in graph.nodes for tensor in node.output}
    tensors = [tensor for tensor, _ in types if tensor in written]
    (values,) = reference_outputs(graph, tensors, pictures)
    broken = _broken(dict(zip(tensors, values, strict=True)))
    node = next(node for node in graph.nodes if broken & set(node.output))
    return f"the first number that is not finite is what {describe(node)} gives"


def _not_a_number(tensors: Iterable[tuple[str, NDArray[Any]]]) -> str | None:
    for name, value in tensors:
        if value.dtype.kind == "f" and (count := int(np.isnan(value).sum())):
            return f"the initializer '{name}' holds NaN in {count:,} of its {value.size:,} numbers"
    return None


def _broken(values: Mapping[str, NDArray[Any]]) -> set[str]:
    return {tensor for tensor, value in values.items() if not np.isfinite(value).all()}
