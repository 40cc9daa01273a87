"""The baseline: float32 and int8 twins of a network, run by ONNX Runtime on the same device.

A speed-up means little without a good opponent, so the twins run in a well-known runtime with all
graph optimizations on. A twin has the network's shapes as an ordinary MobileNet of convolutions,
biases and ReLU, in float32 or quantized by ONNX Runtime's static quantization (QDQ, uint8
activations, int8 weights with a scale per channel). Its weights are the network's scaled signs,
which nobody trained: use it for latency and size, not for accuracy.

All networks take the uint8 image and give float32 logits. The twins are measured right after the
network by the same runner sources, with ONNX Runtime behind the device library instead of TVM, and
with the same numbers of threads, warm-up runs and measured runs. The library is that of ONNX
Runtime's official wheel, one pinned version for all architectures. The reported ratio is a twin's
latency divided by the network's; its 99 % interval (block bootstrap of the medians) covers the
noise within the session, not between sessions. If a twin fails, the report says why and the
network's own result stands.
"""
