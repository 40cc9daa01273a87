"""Builds an ONNX graph node by node."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bitat_deploy.foreign.graph import Graph, TensorType

FLOAT, UINT8, INT8, INT32 = (
    int(kind)
    for kind in (TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32)
)

_NOTHING: Mapping[str, NDArray[Any]] = {}


class GraphBuilder:
    """Nodes in the order in which they are added, with their constants and types.

    ``original`` is the graph whose constants stay known; ``types`` are those of all tensors.
    """

    def __init__(self, original: Graph) -> None:
        self.original = original
        self.types = dict(original.types)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def keep(self, node: onnx.NodeProto) -> None:
        """Add a node of the original as it is."""
        self._nodes.append(node)

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        kind: TensorType,
        *,
        constants: Mapping[str, NDArray[Any]] = _NOTHING,
        name: str = "",
        domain: str = "",
        **attributes: Any,
    ) -> None:
        """One more node; it reads ``inputs``, then ``constants``, and has its output's name."""
        self._constants |= constants
        self.types[output] = kind
        names = [*inputs, *constants]
        self._nodes.append(
            helper.make_node(
                operator, names, [output], name=name or output, domain=domain, **attributes
            )
        )

    def rename(self, tensor: str, name: str) -> None:
        """Give the tensor that the last node writes another name."""
        self.types[name] = self.types.pop(tensor)
        self._nodes[-1].output[0] = name

    def finished(self, functions: Iterable[onnx.FunctionProto], **changes: Any) -> Graph:
        """The graph of these nodes, without dead ones; ``changes`` are of the other fields."""
        return replace(
            self.original,
            nodes=tuple(self._nodes),
            constants=self.original.constants | self._constants,
            types=self.types,
            functions=tuple(functions),
            **changes,
        ).without_dead_nodes()


class NodeRow:
    """Elementwise nodes one after the other, of tensors [1, H, W, C] or as ``like`` says.

    ``start`` is the tensor that the first one reads; ``prefix`` begins the names of all.
    """

    def __init__(
        self, builder: GraphBuilder, start: str, prefix: str, shape: tuple[int, ...]
    ) -> None:
        self._builder, self._prefix, self._shape = builder, prefix, (1, *shape)
        self._count = 0
        self.current = start

    def step(
        self,
        operator: str,
        *constants: NDArray[Any],
        element: int = FLOAT,
        like: str | None = None,
        other: str | None = None,
        shape: tuple[int, ...] | None = None,
        **attributes: Any,
    ) -> None:
        """One more operator, which also reads the tensor ``other`` and then ``constants``.

        ``like`` names a tensor of the shape that it gives; ``shape`` is that of all from here on.
        """
        name = f"{self._prefix}{self._count}"
        self._count += 1
        named = {f"{name}.constant{index}": value for index, value in enumerate(constants)}
        self._shape = self._shape if shape is None else (1, *shape)
        sizes = self._shape if like is None else self._builder.types[like].shape
        inputs = [self.current] if other is None else [self.current, other]
        kind = TensorType(sizes, element)
        self._builder.add(operator, inputs, name, kind, constants=named, **attributes)
        self.current = name

    def reshape(self, shape: tuple[int, ...]) -> None:
        """The same int32 or float32 numbers in another ``shape``, with a batch of 1."""
        sizes = np.array((1, *shape), np.int64)
        self.step("Reshape", sizes, element=self._element, shape=shape)

    def slice_last(self, start: int, end: int) -> None:
        """The last axis from ``start`` up to, not including, ``end``."""
        shape = (*self._shape[1:-1], end - start)
        limits = [np.array([place], np.int64) for place in (start, end, len(shape))]
        self.step("Slice", *limits, element=self._element, shape=shape)

    @property
    def _element(self) -> int:
        return self._builder.types[self.current].element

    def rename(self, name: str) -> None:
        """Give the last tensor another name."""
        self._builder.rename(self.current, name)
        self.current = name

    def finish(self, tensor: str) -> None:
        """From NHWC to ``tensor``, in the shape that it has in the original: NCHW or [1, C]."""
        kind, name = self._builder.original.types[tensor], f"{self._prefix}original"
        if len(kind.shape) == 4:
            self._builder.add(
                "Transpose", [self.current], tensor, kind, name=name, perm=[0, 3, 1, 2]
            )
        else:
            shape = {f"{name}.shape": np.array(kind.shape, np.int64)}
            self._builder.add("Reshape", [self.current], tensor, kind, name=name, constants=shape)
