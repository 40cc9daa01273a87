"""The compiler stage: an ONNX file to a shared library for one target.

Nothing is imported here: importing TVM takes seconds, and ``bench`` needs only the layer reports.
"""
