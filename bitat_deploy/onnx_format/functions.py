"""Our operators as ONNX model-local functions whose bodies are standard operators.

A file that contains them needs no custom-operator library: ONNX Runtime inlines the bodies.
docs/format.md lists the signatures; :mod:`bitat_deploy.network.evaluate` defines what they compute.
The results are exact: integers up to the one multiplication by the classifier's scale. The bodies
that read or write packed codes are in :mod:`.code_functions`.
"""

import onnx
from onnx import parser

from bitat_deploy.onnx_format import code_functions as codes

DOMAIN = "bitat_deploy"
VERSION = 2
OPSET = 20

_HEADER = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}, "{DOMAIN}": {VERSION}]>'

# 2^exponent as int64.
_POWER_OF_TWO = """
PowerOfTwo <exponent> () => (power) {
    one = Constant <value = uint64 {1}> ()
    signed_exponent = Constant <value_int: int = @exponent> ()
    unsigned_exponent = Cast <to = 13> (signed_exponent)
    unsigned_power = BitShift <direction = "LEFT"> (one, unsigned_exponent)
    power = Cast <to = 7> (unsigned_power)
}
"""

# Weights as uint8 with a zero point of 128: ONNX Runtime's kernels for uint8 times int8 may
# saturate on processors without VNNI, those for uint8 times uint8 never do.
_IMAGE_CONV = """
ImageConv <strides, pads, dilations, group> (x, weight) => (sum) {
    offset = Constant <value = int32 {128}> ()
    zero_point = Constant <value = uint8 {128}> ()
    x_zero_point = Constant <value = uint8 {0}> ()
    wide_weight = Cast <to = 6> (weight)
    shifted_weight = Add (wide_weight, offset)
    weight_uint8 = Cast <to = 2> (shifted_weight)
    weight_nchw = Transpose <perm = [0, 3, 1, 2]> (weight_uint8)
    x_nchw = Transpose <perm = [0, 3, 1, 2]> (x)
    sum_nchw = ConvInteger <strides: ints = @strides, pads: ints = @pads,
        dilations: ints = @dilations, group: int = @group>
        (x_nchw, weight_nchw, x_zero_point, zero_point)
    sum = Transpose <perm = [0, 2, 3, 1]> (sum_nchw)
}
"""

# Bytes from -127 to 127 as uint8 with a zero point of 128, which is also what the border has.
_SIGNED_BYTE_CONV = """
SignedByteConv <strides, pads, dilations, group> (x, weight) => (sum) {
    offset = Constant <value = int32 {128}> ()
    zero_point = Constant <value = uint8 {128}> ()
    wide_x = Cast <to = 6> (x)
    shifted_x = Add (wide_x, offset)
    x_uint8 = Cast <to = 2> (shifted_x)
    wide_weight = Cast <to = 6> (weight)
    shifted_weight = Add (wide_weight, offset)
    weight_uint8 = Cast <to = 2> (shifted_weight)
    weight_nchw = Transpose <perm = [0, 3, 1, 2]> (weight_uint8)
    x_nchw = Transpose <perm = [0, 3, 1, 2]> (x_uint8)
    sum_nchw = ConvInteger <strides: ints = @strides, pads: ints = @pads,
        dilations: ints = @dilations, group: int = @group>
        (x_nchw, weight_nchw, zero_point, zero_point)
    sum = Transpose <perm = [0, 2, 3, 1]> (sum_nchw)
}
"""

# Bytes of either sign. Without a Pad, which a transposition before it may be moved past wrongly.
_BYTE_DEPTHWISE_CONV = """
ByteDepthwiseConv <strides, pads, dilations, group> (x, weight) => (sum) {
    levels = Cast <to = 1> (x)
    levels_nchw = Transpose <perm = [0, 3, 1, 2]> (levels)
    real_weight = Cast <to = 1> (weight)
    filters = Transpose <perm = [0, 3, 1, 2]> (real_weight)
    real_sum = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
        group: int = @group> (levels_nchw, filters)
    sum_nchw = Cast <to = 6> (real_sum)
    sum = Transpose <perm = [0, 2, 3, 1]> (sum_nchw)
}
"""

_CLIP_SUMS = """
ClipSums (sum, offset, reach) => (y) {
    zero = Constant <value = int32 {0}> ()
    wide = Cast <to = 6> (sum)
    moved = Add (wide, offset)
    positive = Max (moved, zero)
    y = Min (positive, reach)
}
"""

# x >> shift, rounding down: ONNX has no arithmetic shift; x - Mod(x, 2^shift) divides without
# rest, and Mod's result has the divisor's sign.
_SHIFT_RIGHT = """
ShiftRight <shift> (x) => (y) {
    wide = Cast <to = 7> (x)
    divisor = bitat_deploy.PowerOfTwo <exponent: int = @shift> ()
    rest = Mod (wide, divisor)
    multiple = Sub (wide, rest)
    quotient = Div (multiple, divisor)
    y = Cast <to = 6> (quotient)
}
"""

# (x + 2^(shift - 1)) >> shift, where 2^(-1) is 0.
_ROUNDING_SHIFT_RIGHT = """
RoundingShiftRight <shift> (x) => (y) {
    two = Constant <value_int = 2> ()
    power = bitat_deploy.PowerOfTwo <exponent: int = @shift> ()
    half = Div (power, two)
    wide = Cast <to = 7> (x)
    sum = Add (wide, half)
    y = bitat_deploy.ShiftRight <shift: int = @shift> (sum)
}
"""

_REQUANTIZE = """
Requantize <shift> (sum, multiplier, bias) => (y) {
    wide_multiplier = Cast <to = 6> (multiplier)
    product = Mul (sum, wide_multiplier)
    total = Add (product, bias)
    y = bitat_deploy.ShiftRight <shift: int = @shift> (total)
}
"""

_ADD_SHORTCUT = """
AddShortcut (x, shortcut) => (y) {
    first = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [-1]> ()
    one_before_last = Constant <value_ints = [-2]> ()
    wide = Cast <to = 6> (shortcut)
    channels = Shape <start = -1> (shortcut)
    leading = Shape <start = 0, end = -1> (x)
    repeated = Concat <axis = 0> (leading, last, channels)
    columns = Reshape (x, repeated)
    row = Unsqueeze (wide, one_before_last)
    sums = Add (columns, row)
    shape = Shape (x)
    y = Reshape (sums, shape)
}
"""

_SATURATE = """
Saturate (x) => (y) {
    lowest = Constant <value = int32 {-32768}> ()
    highest = Constant <value = int32 {32767}> ()
    clipped = Clip (x, lowest, highest)
    y = Cast <to = 5> (clipped)
}
"""

_SATURATE_UINT8 = """
SaturateUint8 (x) => (y) {
    lowest = Constant <value = int32 {0}> ()
    highest = Constant <value = int32 {255}> ()
    clipped = Clip (x, lowest, highest)
    y = Cast <to = 2> (clipped)
}
"""

_SATURATE_INT8 = """
SaturateInt8 (x) => (y) {
    lowest = Constant <value = int32 {-127}> ()
    highest = Constant <value = int32 {127}> ()
    clipped = Clip (x, lowest, highest)
    y = Cast <to = 3> (clipped)
}
"""

_RPRELU = """
RPReLU <shift> (x, before, slope, after) => (y) {
    zero = Constant <value = int32 {0}> ()
    wide = Cast <to = 6> (x)
    wide_before = Cast <to = 6> (before)
    wide_slope = Cast <to = 6> (slope)
    wide_after = Cast <to = 6> (after)
    t = Add (wide, wide_before)
    product = Mul (t, wide_slope)
    below = bitat_deploy.RoundingShiftRight <shift: int = @shift> (product)
    negative = Less (t, zero)
    activated = Where (negative, below, t)
    sum = Add (activated, wide_after)
    y = bitat_deploy.Saturate (sum)
}
"""

# The average of four int16 is exact in float32, and so is half a unit added to it. Pads of all
# axes: ONNX Runtime 1.31 moves a transposition past a Pad as if that had no axes of its own.
_MAX_POOL_BYTES = """
MaxPoolBytes <kernel_shape, strides, pads> (x) => (y) {
    x_nchw = Transpose <perm = [0, 3, 1, 2]> (x)
    highest_nchw = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides,
        pads: ints = @pads> (x_nchw)
    y = Transpose <perm = [0, 2, 3, 1]> (highest_nchw)
}
"""

_AVERAGE_POOL_STREAM = """
AveragePoolStream (x) => (y) {
    half = Constant <value = float {0.5}> ()
    before = Constant <value_ints = [0, 0, 0, 0, 0]> ()
    last = Constant <value_ints = [0]> ()
    two = Constant <value_ints = [2]> ()
    size = Shape <start = 1, end = 3> (x)
    odd = Mod (size, two)
    pads = Concat <axis = 0> (before, odd, last)
    real = Cast <to = 1> (x)
    padded = Pad <mode = "edge"> (real, pads)
    real_nchw = Transpose <perm = [0, 3, 1, 2]> (padded)
    average = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (real_nchw)
    raised = Add (average, half)
    rounded = Floor (raised)
    y_nchw = Cast <to = 5> (rounded)
    y = Transpose <perm = [0, 2, 3, 1]> (y_nchw)
}
"""

_GLOBAL_STREAM_SUM = """
GlobalStreamSum <shift> (x) => (y) {
    space = Constant <value_ints = [1, 2]> ()
    wide = Cast <to = 6> (x)
    sum = ReduceSum <keepdims = 0> (wide, space)
    y = bitat_deploy.RoundingShiftRight <shift: int = @shift> (sum)
}
"""

_QUANTIZED_DENSE = """
QuantizedDense (x, weight, bias, scale) => (y) {
    wide_weight = Cast <to = 6> (weight)
    filters = Transpose <perm = [1, 0]> (wide_weight)
    product = MatMul (x, filters)
    sum = Add (product, bias)
    real_sum = Cast <to = 1> (sum)
    y = Mul (real_sum, scale)
}
"""


def model_local_functions() -> list[onnx.FunctionProto]:
    """All functions of our domain; a model carries them all."""
    bodies = (
        codes.UNPACK_BITS,
        codes.PACK_BITS,
        codes.PLANES,
        codes.UNPACK_CODES,
        codes.PACK_CODES,
        _POWER_OF_TWO,
        codes.UNPACK_LEVELS,
        _IMAGE_CONV,
        _SIGNED_BYTE_CONV,
        codes.LEVEL_CONV,
        codes.BIT_SERIAL_CONV,
        codes.BIT_SERIAL_DEPTHWISE_CONV,
        _BYTE_DEPTHWISE_CONV,
        codes.CODE_CONV,
        _CLIP_SUMS,
        codes.QUANTIZE,
        _SHIFT_RIGHT,
        _ROUNDING_SHIFT_RIGHT,
        _REQUANTIZE,
        _ADD_SHORTCUT,
        _SATURATE,
        _SATURATE_UINT8,
        _SATURATE_INT8,
        _RPRELU,
        _AVERAGE_POOL_STREAM,
        _MAX_POOL_BYTES,
        codes.MAX_POOL_CODES,
        codes.GLOBAL_CODE_SUM,
        _GLOBAL_STREAM_SUM,
        _QUANTIZED_DENSE,
    )
    return [parser.parse_function(f"{_HEADER}\n{body}") for body in bodies]
