"""The float32 and int8 twins of a network as ncnn's parameter files, without weights.

The same layers as those of :mod:`benchmarks.litert_twin`. The weights are zeros, as in ncnn's own
benchmark: they do not change the time that ncnn takes. So its logits say nothing.
"""

from bitat_deploy.errors import UnsupportedOperatorError
from bitat_deploy.network import (
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Quantize,
    QuantizedDense,
    Requantize,
)

_MAGIC = 7767517
_RELU = 1
_AVERAGE = 1
# int8_scale_term: products in int8; from 100 on the output is int8, too.
_INT8, _INT8_TO_INT8 = 2, 102
_INT8_DEPTHWISE_TO_INT8 = 101


def ncnn_twin(network: IntegerNetwork, quantized: bool) -> str:
    """The parameter file, from the image to the logits, which it calls "data" and "logits".

    Raises UnsupportedOperatorError where a layer has no counterpart.
    """
    height, width, channels = network.input_shape
    lines = [_line("Input", "data", "", "data", {0: width, 1: height, 2: channels})]
    before = "data"
    for layer, following in zip(network.layers, [*network.layers[1:], None], strict=True):
        name = "logits" if layer is network.layers[-1] else layer.name
        if isinstance(layer, Convolution) and isinstance(layer.output, Quantize | Requantize):
            last = isinstance(following, GlobalSum)
            lines.append(_convolution(layer, before, quantized, last))
        elif isinstance(layer, GlobalSum):
            lines.append(_line("Pooling", name, before, name, {0: _AVERAGE, 4: 1}))
        elif isinstance(layer, QuantizedDense):
            classes, features = layer.weight.shape
            scale = {8: _INT8} if quantized else {}
            dense = {0: classes, 1: 1, 2: classes * features} | scale
            lines.append(_line("InnerProduct", name, before, name, dense))
        else:
            raise UnsupportedOperatorError(
                f"layer '{layer.name}' ({type(layer).__name__}) has no counterpart in ncnn's twin"
            )
        before = name
    return "\n".join([str(_MAGIC), f"{len(lines)} {len(lines)}", *lines]) + "\n"


def _convolution(layer: Convolution, before: str, quantized: bool, last: bool) -> str:
    out, kernel = layer.weight.shape[:2]
    options = {0: out, 1: kernel, 2: layer.dilation, 3: layer.stride, 4: layer.padding, 5: 1}
    options |= {6: layer.weight.size}
    if layer.groups > 1:
        options |= {7: layer.groups}
    if quantized:
        inner = _INT8_DEPTHWISE_TO_INT8 if layer.groups > 1 else _INT8_TO_INT8
        options |= {8: _INT8 if last else inner}  # ncnn averages float32
    options |= {9: _RELU}
    kind = "ConvolutionDepthWise" if layer.groups > 1 else "Convolution"
    return _line(kind, layer.name, before, layer.name, options)


def _line(kind: str, name: str, before: str, after: str, options: dict[int, int]) -> str:
    blobs = f"{int(bool(before))} 1 {before} {after}".replace("  ", " ")
    return f"{kind} {name} {blobs} " + " ".join(f"{key}={value}" for key, value in options.items())
