"""The baseline: float32 and int8 twins of a network, run by ONNX Runtime on the same device.

How many times as fast a binarized network is says nothing without what it is compared with. So the
other side is a well-known runtime with all its optimizations on, measured by our runner's own code.
"""
