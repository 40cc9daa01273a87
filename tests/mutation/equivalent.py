"""Mistakes that no test can notice, because they do not change any result."""

_OPERATORS = "bitat_deploy/operators"
_FOREIGN = "bitat_deploy/foreign"

# Module, line before and after: the reason.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "training/own_network/operands.py",
        'padding_level = int(operation.values["padding"] > 0)',
        'padding_level = int(operation.values["padding"] >= 0)',
    ): "without padding nothing reads the level of the border",
    (
        "bitat_deploy/files.py",
        "os.posix_fallocate(file.fileno(), 0, size)",
        "os.posix_fallocate(file.fileno(), 1, size)",
    ): "asks for one byte more of many",
    (
        "bitat_deploy/onnx_format/reader.py",
        "if len(reading) != 1 or reading[0] < 0:",
        "if len(reading) != 1 or reading[0] <= 0:",
    ): "the first node never reads another node's output",
    (
        f"{_OPERATORS}/binary_depthwise.py",
        "operations = height * -(-row_bytes // self.target.vector_bytes) * 4 * self._taps",
        "operations = height * -(-row_bytes // self.target.vector_bytes) + 4 * self._taps",
    ): "an estimate that decides whether threads share a layer",
    (
        f"{_OPERATORS}/bit_serial_count.py",
        "if last and rest > 1:",
        "if (not (last and rest > 1)):",
    ): "whether a value is stored or computed again",
    (
        f"{_OPERATORS}/vector_code.py",
        'return f"{dtype}x{lanes}" if lanes > 1 else dtype',
        'return f"{dtype}x{lanes}" if lanes >= 1 else dtype',
    ): "`uint8x1` is also TVM's uint8",
    (
        f"{_FOREIGN}/layers.py",
        "border = layer.padding > 0 and layer.padding_level == 0",
        "border = layer.padding > 0 or layer.padding_level == 0",
    ): "every integer is tried as a sum instead of every second one",
    (
        f"{_FOREIGN}/exact.py",
        "weight = weight.reshape(len(weight), -1)",
        "weight = weight.reshape(len(weight), -2)",
    ): "numpy treats every negative size as the remaining one",
    (
        f"{_FOREIGN}/check.py",
        "waves += np.sin(phase + tilt * rows + turn * columns)",
        "waves += np.sin(phase + tilt + rows + turn * columns)",
    ): "other smooth images are compared",
    (
        f"{_FOREIGN}/eight_bit_rewrite.py",
        "if reach.max() > _INT32_MAX:",
        "if reach.max() >= _INT32_MAX:",
    ): "whether a layer whose sums just fit runs in integers or, equally exact, as in the file",
    (
        f"{_OPERATORS}/carry_save.py",
        "if bits not in (128, 256, 512):",
        "if bits not in (129, 256, 512):",
    ): "the same sums with other instructions",
    (
        f"{_OPERATORS}/global_bit_count.py",
        'counts = T.alloc_buffer([pixel * 8], "int32")',
        'counts = T.alloc_buffer([pixel * 9], "int32")',
    ): "buffer space that nothing uses",
    (
        f"{_OPERATORS}/operator.py",
        'T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True})',
        'T.func_attr({"tirx.noalias": False, "tirx.is_scheduled": True})',
    ): "an assumption that lets the compiler make faster code",
}
