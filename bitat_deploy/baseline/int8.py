"""The int8 twin: the float32 twin through ONNX Runtime's own static quantization.

Activations uint8, weights int8 with a scale for each channel, in QDQ format, which ONNX Runtime
fuses into its integer kernels: the fastest of its formats on x86-64, and those it has hand-written
kernels for on ARM.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from bitat_deploy.baseline.float32 import INPUT, REAL_INPUT
from bitat_deploy.files import scratch_folder

_IMAGES = 8


def int8_twin(float32: onnx.ModelProto) -> onnx.ModelProto:
    """Quantize a float32 twin; the same inputs and outputs, and always the same.

    Calibrated on drawn images: ranges do not change how long integers take.
    """
    shape = [one.dim_value for one in float32.graph.input[0].type.tensor_type.shape.dim]
    with scratch_folder() as folder:
        source, path = folder / "float32.onnx", folder / "int8.onnx"
        onnx.save(float32, source)
        quantize_int8(source, path, _drawn_images(shape))
        return _without_conversion(onnx.load(path))


def quantize_int8(
    source: Path, path: Path, inputs: Iterable[Mapping[str, NDArray[Any]]], **settings: Any
) -> None:
    """Write ``source`` in 8 bits to ``path``, with the ranges that ``inputs`` give.

    ``settings`` are more of ONNX Runtime's ``quantize_static``.
    """
    quantize_static(
        source,
        path,
        _Inputs(inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        **settings,
    )


class _Inputs(CalibrationDataReader):
    def __init__(self, inputs: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next run's, None after the last one."""
        inputs = next(self._inputs, None)
        return None if inputs is None else dict(inputs)


def _drawn_images(shape: list[int]) -> Iterator[dict[str, NDArray[np.uint8]]]:
    """Each with the darkest and the brightest pixel."""
    generator = np.random.default_rng(0)
    for _ in range(_IMAGES):
        image = generator.integers(0, 256, shape, dtype=np.uint8)
        image.flat[:2] = (0, 255)
        yield {INPUT: image}


def _without_conversion(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let the first layer read the image as it is.

    The quantizer has it cast to float32 and back to uint8, which changes no pixel, as the range is
    that of a pixel: 0 to 255.
    """
    graph = model.graph
    casts = [node for node in graph.node if node.output[0] == REAL_INPUT]
    if not casts:  # of another file, whose pictures are prepared otherwise
        return model
    (cast,) = casts
    (back,) = [node for node in graph.node if node.input[0] == REAL_INPUT]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    scale, zero_point = (numpy_helper.to_array(constants[name]) for name in back.input[1:])
    assert (scale, zero_point) == (1, 0), "an image spans 0 to 255"
    for node in graph.node:
        if node.input[0] == back.output[0]:
            node.input[0] = INPUT
    graph.node.remove(cast)
    graph.node.remove(back)
    return model
