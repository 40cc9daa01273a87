"""Files as others make them: MobileNetV2 with its shortcuts, MLPerf Tiny's networks.

Weights are drawn: speed does not depend on training. The float32 file has what exporters leave of a
network in evaluation: convolutions with a bias, ReLU6, additions (arXiv 1801.04381, table 2).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.random_networks import mobilenet_v1_blocks, mobilenet_v2_blocks
from bitat_deploy.baseline import quantize_int8

_OPSET, _IR_VERSION = 17, 8
_STEM, _HEAD = 32, 1280
_CALIBRATION_IMAGES = 4

Shape = tuple[int, int, int]  # height, width, channels of the picture


def write_mobilenet_v2(path: Path, seed: int = 0, size: int = 224) -> Shape:
    """MobileNetV2 1.0 in float32: "image" [1, 3, size, size], pixels / 255, to "logits"."""
    file = _File(seed)
    x = file.convolution("image", 3, _STEM, kernel=3, stride=2)
    channels = _STEM
    for expansion, out, stride in mobilenet_v2_blocks():
        before, inner = x, expansion * channels
        if expansion != 1:
            x = file.convolution(x, channels, inner)
        x = file.convolution(x, inner, inner, kernel=3, stride=stride, groups=inner)
        x = file.convolution(x, inner, out, activation="")
        if stride == 1 and channels == out:
            x = file.add("Add", x, before)
        channels = out
    x = file.convolution(x, channels, _HEAD)
    return file.save(path, x, _HEAD, 1000, (size, size, 3))


def write_resnet_8(path: Path, seed: int = 0) -> Shape:
    """MLPerf Tiny's network for CIFAR-10: three blocks of two 3x3 layers, in float32."""
    file = _File(seed)
    x = file.convolution("image", 3, 16, kernel=3, activation="Relu")
    channels = 16
    for out, stride in ((16, 1), (32, 2), (64, 2)):
        before = x
        x = file.convolution(x, channels, out, kernel=3, stride=stride, activation="Relu")
        x = file.convolution(x, out, out, kernel=3, activation="")
        if channels != out:
            before = file.convolution(before, channels, out, stride=stride, activation="")
        x = file.add("Relu", file.add("Add", x, before))
        channels = out
    return file.save(path, x, channels, 10, (32, 32, 3))


def write_visual_wake_words(path: Path, seed: int = 0) -> Shape:
    """MLPerf Tiny's MobileNetV1 0.25 at 96, in float32."""
    file = _File(seed)
    x = file.convolution("image", 3, 8, kernel=3, stride=2, activation="Relu")
    channels = 8
    for out, stride in mobilenet_v1_blocks():
        x = file.convolution(x, channels, channels, 3, stride, channels, "Relu")
        x = file.convolution(x, channels, out // 4, activation="Relu")
        channels = out // 4
    return file.save(path, x, channels, 2, (96, 96, 3))


def write_keyword_spotting(path: Path, seed: int = 0) -> Shape:
    """MLPerf Tiny's network for keywords, on 49 x 10 numbers, in float32."""
    file = _File(seed)
    window: dict[str, Any] = {"strides": [2, 2], "pads": [4, 1, 5, 1], "kernel_shape": [10, 4]}
    weight = file.drawn((64, 1, 10, 4), 40)
    x = file.add("Relu", file.add("Conv", "image", weight, file.drawn((64,), 50), **window))
    for _ in range(4):
        x = file.convolution(x, 64, 64, 3, groups=64, activation="Relu")
        x = file.convolution(x, 64, 64, activation="Relu")
    return file.save(path, x, 64, 12, (49, 10, 1))


def write_int8_mobilenet_v2(path: Path, seed: int = 0, size: int = 224) -> Shape:
    """MobileNetV2 by ``quantize_static``: QDQ, uint8, int8 weights with a scale per channel."""
    real = path.with_name(path.stem + "-float32.onnx")
    shape = write_mobilenet_v2(real, seed, size)
    quantize_int8(real, path, _drawn_images(size))
    return shape


# By name: writes the file with drawn weights, by a path and a seed.
FOREIGN_FILES: dict[str, Callable[[Path, int], Shape]] = {
    "mobilenet-v2-int8-file": write_int8_mobilenet_v2,
    "mobilenet-v2-file": write_mobilenet_v2,
    "resnet-8-file": write_resnet_8,
    "visual-wake-words-file": write_visual_wake_words,
    "keyword-spotting-file": write_keyword_spotting,
}


def _drawn_images(size: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    generator = np.random.default_rng(0)
    for _ in range(_CALIBRATION_IMAGES):
        pixels = generator.integers(0, 256, (1, 3, size, size), dtype=np.uint8)
        yield {"image": pixels.astype(np.float32) / np.float32(255)}


class _File:
    """A graph that grows node by node."""

    def __init__(self, seed: int) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._random = np.random.default_rng(seed)
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One more node; its output."""
        name = f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def convolution(
        self,
        x: str,
        channels: int,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "Clip",
    ) -> str:
        """A convolution that keeps the size or divides it by ``stride``; a Clip is ReLU6."""
        shape = (out, channels // groups, kernel, kernel)
        weight = self.drawn(shape, kernel**2 * channels // groups)
        window: dict[str, Any] = {"strides": [stride] * 2, "pads": [kernel // 2] * 4}
        window |= {"kernel_shape": [kernel] * 2, "group": groups}
        x = self.add("Conv", x, weight, self.drawn((out,), 50), **window)
        if activation == "Clip":
            return self.add("Clip", x, self._constant(np.float32(0)), self._constant(np.float32(6)))
        return self.add(activation, x) if activation else x

    def drawn(self, shape: tuple[int, ...], inputs: int) -> str:
        """Normal numbers that keep the spread of what they are multiplied with (1502.01852)."""
        values = self._random.normal(0, (2 / inputs) ** 0.5, shape)
        return self._constant(values.astype(np.float32))

    def save(self, path: Path, x: str, channels: int, classes: int, shape: Shape) -> Shape:
        """Average, classify and write; the shape of the picture."""
        x = self.add("Flatten", self.add("GlobalAveragePool", x))
        weight, bias = self.drawn((classes, channels), channels), self.drawn((classes,), 4)
        self._nodes.append(helper.make_node("Gemm", [x, weight, bias], ["logits"], transB=1))
        height, width, colours = shape
        sizes = [1, colours, height, width]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes])
        graph = helper.make_graph(self._nodes, path.stem, [image], [logits], self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return shape

    def _constant(self, value: Any) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
