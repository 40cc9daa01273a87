"""What every operator is: one layer at a fixed shape, for one target.

An operator's file holds, next to each other, which layers it computes (``computes``), its code
(``emit``), its schedules (``space``), the layout of its weights (``constants``) and its plain numpy
reference. All shapes are of one image; :meth:`Operator.prim_func` repeats the code over a batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from bitat_deploy.network import (
    Bytes,
    Codes,
    Counts,
    Format,
    Image,
    Logits,
    Stream,
    packed_bytes,
    shape_text,
)
from bitat_deploy.target import Target

_DTYPES = {Image: "uint8", Codes: "uint8", Stream: "int16", Counts: "int32", Logits: "float32"}


@dataclass(frozen=True)
class TensorSpec:
    """Shape and numpy dtype name of a tensor, batch axis (of 1) included."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{shape_text(self.shape[1:])}:{self.dtype}"


def tensor_spec(form: Format) -> TensorSpec:
    """The tensor that holds one image's values of a format."""
    *space, channels = form.shape
    if isinstance(form, Codes):
        channels = form.bits * packed_bytes(channels)
    dtype = form.dtype if isinstance(form, Bytes) else _DTYPES[type(form)]
    return TensorSpec((1, *space, channels), dtype)


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """One layer at a fixed shape, for one target.

    ``formats`` are those of the tensors that the layer reads and writes, by name. ``schedule`` is a
    frozen dataclass of plain numbers and names, which changes the time but not the result; None is
    the default for the target. Subclasses add no fields, so that all are constructed alike.
    """

    kind: ClassVar[str]
    layer: Any
    formats: Mapping[str, Format]
    target: Target
    schedule: Any = None

    @classmethod
    @abstractmethod
    def computes(cls, layer: Any, formats: Mapping[str, Format], target: Target) -> bool:
        """Whether this operator computes ``layer`` on ``target``."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that the layer reads, in the order of ``inputs``."""
        return (self.layer.input,)

    @property
    def source(self) -> Any:
        """The format of the layer's input."""
        return self.formats[self.layer.input]

    @property
    def height(self) -> int:
        """Height of the input."""
        return self.source.shape[0]

    @property
    def width(self) -> int:
        """Width of the input."""
        return self.source.shape[1]

    @property
    def channels(self) -> int:
        """Channels of the input, or its features."""
        return self.source.shape[-1]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the layer reads."""
        return tuple(tensor_spec(self.formats[name]) for name in self.reads)

    @property
    def output(self) -> TensorSpec:
        """What the layer writes."""
        return tensor_spec(self.formats[self.layer.name])

    def constants(self) -> tuple[NDArray[Any], ...]:
        """Weights and thresholds in the layout that ``emit`` reads."""
        return ()

    @abstractmethod
    def emit(self, *args: Any, **kwargs: Any) -> None:
        """Emit the code for one image; takes inputs, constants, output as flat buffers."""

    @abstractmethod
    def reference(self, *args: Any, **kwargs: Any) -> NDArray[np.generic]:
        """The layer in plain numpy; the compiled function equals it bit for bit."""

    @property
    def workload(self) -> str:
        """The key of its tuning records: kind, shapes and all that changes the code, no weights."""
        shapes = [str(spec) for spec in (*self.inputs, self.output)]
        return " ".join([self.kind, *shapes, *self._workload_details()])

    def _workload_details(self) -> tuple[str, ...]:
        """What the shapes leave open: kernel, stride and the like."""
        return ()

    def space(self) -> tuple[Any, ...]:
        """All schedules worth trying at this shape on this target; empty: there is no choice."""
        return ()

    @property
    def default_schedule(self) -> Any:
        """What a ``schedule`` of None stands for; None where there is no choice."""
        return getattr(self.with_schedule(None), "_schedule", None)

    def with_schedule(self, schedule: Any) -> "Operator":
        """The same layer by another schedule."""
        return replace(self, schedule=schedule)

    def prim_func(self, batch: int = 1) -> Any:
        """TIR function with the parameters (inputs, constants, output) for ``batch`` images."""
        constants = [TensorSpec(array.shape, array.dtype.name) for array in self.constants()]
        inputs = [_repeated(spec, batch) for spec in self.inputs]
        specs = [*inputs, *constants, _repeated(self.output, batch)]
        names = [f"x{i}" for i in range(len(inputs))]
        names += [*(f"constant{i}" for i in range(len(constants))), "y"]
        shared = range(len(inputs), len(specs) - 1)
        with IRBuilder() as builder:
            with T.prim_func(s_tir=True):
                T.func_name(self.kind)
                T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})
                parameters = [
                    T.arg(name, T.buffer(spec.shape, spec.dtype))
                    for name, spec in zip(names, specs, strict=True)
                ]

                def emit_image(image: Any) -> None:
                    buffers = []
                    for i, (parameter, spec) in enumerate(zip(parameters, specs, strict=True)):
                        count = spec.size if i in shared else spec.size // batch
                        offset = None if i in shared or batch == 1 else image * count
                        buffers.append(
                            T.decl_buffer(
                                [count], spec.dtype, data=parameter.data, elem_offset=offset
                            )
                        )
                    self.emit(*buffers)

                if batch == 1:
                    emit_image(0)
                else:
                    with T.serial(batch) as image:
                        emit_image(image)
            return builder.get()


def _repeated(spec: TensorSpec, batch: int) -> TensorSpec:
    return TensorSpec((batch * spec.shape[0], *spec.shape[1:]), spec.dtype)
