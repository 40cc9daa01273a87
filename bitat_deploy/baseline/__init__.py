"""The baseline: float32 and int8 twins of a network, run by ONNX Runtime on the same device.

A speed-up means little without a good opponent, so the twins run in a well-known runtime with all
graph optimizations on. A twin of a network of ours has its shapes as an ordinary network of
convolutions, biases and ReLU, in float32 or quantized by ONNX Runtime's static quantization (QDQ,
uint8 activations, int8 weights with a scale per channel). Its weights are the network's scaled
signs, which nobody trained: use it for latency and size, not for accuracy. A training run of the
same network in float32 or 8 bits gives the accuracy that belongs beside it. A network from
elsewhere is compared with its own file, and with that in the other arithmetic.

All networks take the uint8 image and give float32 logits. The twins are measured right after the
network by the same runner sources, with ONNX Runtime behind the device library instead of TVM, and
with the same numbers of threads, warm-up runs and measured runs. The library is that of ONNX
Runtime's official wheel, one pinned version for all architectures. The reported ratio is a twin's
latency divided by the network's; its 99 % interval (block bootstrap of the medians) covers the
noise within the session, not between sessions. If a twin fails, the report says why and the
network's own result stands.

Names are imported at first use: ONNX Runtime's quantization takes long to import.
"""

from typing import TYPE_CHECKING

from bitat_deploy.lazy_face import lazy_face

if TYPE_CHECKING:
    from bitat_deploy.baseline.baseline import IN_FILE, Baseline, Twin
    from bitat_deploy.baseline.float32 import float32_twin, unit_rows
    from bitat_deploy.baseline.int8 import int8_twin, quantize_int8
    from bitat_deploy.baseline.prepare import prepare_baseline
    from bitat_deploy.baseline.program import baseline_program
    from bitat_deploy.baseline.runtime import (
        ONNX_RUNTIME_VERSION,
        has_onnx_runtime,
        onnx_runtime_library,
    )
    from bitat_deploy.baseline.source import channels_first, is_quantized
else:
    __getattr__ = lazy_face(__name__)

__all__ = [
    "IN_FILE",
    "ONNX_RUNTIME_VERSION",
    "Baseline",
    "Twin",
    "baseline_program",
    "channels_first",
    "float32_twin",
    "has_onnx_runtime",
    "int8_twin",
    "is_quantized",
    "onnx_runtime_library",
    "prepare_baseline",
    "quantize_int8",
    "unit_rows",
]
