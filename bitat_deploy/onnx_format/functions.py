"""Our operators as ONNX model-local functions whose bodies are standard operators.

A file that contains them needs no custom-operator library: ONNX Runtime inlines the bodies.
docs/format.md lists the signatures; :mod:`bitat_deploy.network.evaluate` defines what they compute.
The results are exact: integers up to the one multiplication by the classifier's scale.
"""

import onnx
from onnx import parser

DOMAIN = "bitat_deploy"
VERSION = 2
OPSET = 20

_HEADER = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}, "{DOMAIN}": {VERSION}]>'

_UNPACK_BITS = """
UnpackBits <channels> (packed) => (bits) {
    shifts = Constant <value = uint8[8] {0, 1, 2, 3, 4, 5, 6, 7}> ()
    one = Constant <value = uint8 {1}> ()
    first = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [-1]> ()
    columns = Unsqueeze (packed, last)
    shifted = BitShift <direction = "RIGHT"> (columns, shifts)
    bit_columns = BitwiseAnd (shifted, one)
    leading = Shape <start = 0, end = -1> (packed)
    shape = Concat <axis = 0> (leading, last)
    all_bits = Reshape (bit_columns, shape)
    count = Constant <value_int: int = @channels> ()
    end = Unsqueeze (count, first)
    bits = Slice (all_bits, first, end, last)
}
"""

_PACK_BITS = """
PackBits (bits) => (packed) {
    zero = Constant <value = uint8 {0}> ()
    first = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [-1]> ()
    eight = Constant <value_ints = [8]> ()
    channels = Shape <start = -1> (bits)
    negated = Neg (channels)
    spare = Mod (negated, eight)
    pads = Concat <axis = 0> (first, spare)
    padded = Pad (bits, pads, zero, last)
    leading = Shape <start = 0, end = -1> (bits)
    shape = Concat <axis = 0> (leading, last, eight)
    columns = Reshape (padded, shape)
    wide = Cast <to = 6> (columns)
    place = Constant <value = int32[8] {1, 2, 4, 8, 16, 32, 64, 128}> ()
    weighted = Mul (wide, place)
    sums = ReduceSum <keepdims = 0> (weighted, last)
    packed = Cast <to = 2> (sums)
}
"""

# Planes [0, 1, ...] uint8 [bits, 1]: what each plane's bits are shifted by.
_PLANES = """
Planes <bits> () => (planes) {
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    last = Constant <value_ints = [-1]> ()
    count = Constant <value_int: int = @bits> ()
    indices = Range (zero, count, one)
    column = Unsqueeze (indices, last)
    planes = Cast <to = 2> (column)
}
"""

_UNPACK_CODES = """
UnpackCodes <channels, bits> (packed) => (codes) {
    first = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [-1]> ()
    plane_axis = Constant <value_ints = [-2]> ()
    bit_count = Constant <value_int: int = @bits> ()
    count = Unsqueeze (bit_count, first)
    leading = Shape <start = 0, end = -1> (packed)
    shape = Concat <axis = 0> (leading, count, last)
    packed_planes = Reshape (packed, shape)
    plane_bits = bitat_deploy.UnpackBits <channels: int = @channels> (packed_planes)
    planes = bitat_deploy.Planes <bits: int = @bits> ()
    placed = BitShift <direction = "LEFT"> (plane_bits, planes)
    real = Cast <to = 1> (placed)
    codes = ReduceSum <keepdims = 0> (real, plane_axis)
}
"""

_PACK_CODES = """
PackCodes <bits> (codes) => (packed) {
    one = Constant <value = uint8 {1}> ()
    plane_axis = Constant <value_ints = [-2]> ()
    last = Constant <value_ints = [-1]> ()
    planes = bitat_deploy.Planes <bits: int = @bits> ()
    column = Unsqueeze (codes, plane_axis)
    shifted = BitShift <direction = "RIGHT"> (column, planes)
    plane_bits = BitwiseAnd (shifted, one)
    packed_planes = bitat_deploy.PackBits (plane_bits)
    leading = Shape <start = 0, end = -1> (codes)
    shape = Concat <axis = 0> (leading, last)
    packed = Reshape (packed_planes, shape)
}
"""

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

# code * (1 + signed) - signed * (2^bits - 1), in float32.
_UNPACK_LEVELS = """
UnpackLevels <channels, bits, signed> (packed) => (levels) {
    one = Constant <value_int = 1> ()
    sign = Constant <value_int: int = @signed> ()
    codes = bitat_deploy.UnpackCodes <channels: int = @channels, bits: int = @bits> (packed)
    step = Add (one, sign)
    power = bitat_deploy.PowerOfTwo <exponent: int = @bits> ()
    top = Sub (power, one)
    offset = Mul (top, sign)
    real_step = Cast <to = 1> (step)
    real_offset = Cast <to = 1> (offset)
    scaled = Mul (codes, real_step)
    levels = Sub (scaled, real_offset)
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

# In float32, which holds these sums exactly (network/formats.py checks it), because ONNX Runtime's
# ConvInteger is slow with as many groups as channels and pads with nothing but zero codes. Identity
# as ONNX Runtime before 1.25 takes pads for malformed that are a Constant of value_ints.
_LEVEL_CONV = """
LevelConv <strides, pads, dilations, group, padding_level> (levels, filters) => (sum) {
    space = Constant <value_ints = [1, 2]> ()
    constant_border = Constant <value_ints: ints = @pads> ()
    border = Identity (constant_border)
    integer_level = Constant <value_int: int = @padding_level> ()
    level = Cast <to = 1> (integer_level)
    padded = Pad (levels, border, level, space)
    levels_nchw = Transpose <perm = [0, 3, 1, 2]> (padded)
    real_sum = Conv <strides: ints = @strides, dilations: ints = @dilations, group: int = @group>
        (levels_nchw, filters)
    sum_nchw = Cast <to = 6> (real_sum)
    sum = Transpose <perm = [0, 2, 3, 1]> (sum_nchw)
}
"""

_CONV_ATTRIBUTES = (
    "strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,"
    " padding_level: int = @padding_level"
)

_BIT_SERIAL_CONV = f"""
BitSerialConv <channels, bits, signed, weight_channels, weight_bits, group, strides, pads,
        dilations, padding_level> (x, weight) => (sum) {{
    levels = bitat_deploy.UnpackLevels
        <channels: int = @channels, bits: int = @bits, signed: int = @signed> (x)
    weight_levels = bitat_deploy.UnpackLevels
        <channels: int = @weight_channels, bits: int = @weight_bits, signed = 1> (weight)
    filters = Transpose <perm = [0, 3, 1, 2]> (weight_levels)
    sum = bitat_deploy.LevelConv <{_CONV_ATTRIBUTES}, group: int = @group> (levels, filters)
}}
"""

_BIT_SERIAL_DEPTHWISE_CONV = f"""
BitSerialDepthwiseConv <channels, bits, signed, weight_bits, strides, pads, dilations,
        padding_level> (x, weight) => (sum) {{
    middle = Constant <value_ints = [1]> ()
    levels = bitat_deploy.UnpackLevels
        <channels: int = @channels, bits: int = @bits, signed: int = @signed> (x)
    weight_levels = bitat_deploy.UnpackLevels
        <channels: int = @channels, bits: int = @weight_bits, signed = 1> (weight)
    weight_chw = Transpose <perm = [2, 0, 1]> (weight_levels)
    filters = Unsqueeze (weight_chw, middle)
    sum = bitat_deploy.LevelConv <{_CONV_ATTRIBUTES}, group: int = @channels> (levels, filters)
}}
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

_CODE_CONV = f"""
CodeConv <channels, bits, signed, group, strides, pads, dilations, padding_level>
        (x, weight) => (sum) {{
    levels = bitat_deploy.UnpackLevels
        <channels: int = @channels, bits: int = @bits, signed: int = @signed> (x)
    real_weight = Cast <to = 1> (weight)
    filters = Transpose <perm = [0, 3, 1, 2]> (real_weight)
    sum = bitat_deploy.LevelConv <{_CONV_ATTRIBUTES}, group: int = @group> (levels, filters)
}}
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

_QUANTIZE = """
Quantize <bits, signed> (x, thresholds) => (packed) {
    one = Constant <value = int32 {1}> ()
    middle = Constant <value_ints = [-2]> ()
    wide = Cast <to = 6> (x)
    column = Unsqueeze (wide, middle)
    reached = GreaterOrEqual (column, thresholds)
    steps = Cast <to = 6> (reached)
    count = ReduceSum <keepdims = 0> (steps, middle)
    codes = Cast <to = 2> (count)
    packed = bitat_deploy.PackCodes <bits: int = @bits> (codes)
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

_MAX_POOL_CODES = """
MaxPoolCodes <channels, bits, kernel_shape, strides, pads> (x) => (y) {
    codes = bitat_deploy.UnpackCodes <channels: int = @channels, bits: int = @bits> (x)
    codes_nchw = Transpose <perm = [0, 3, 1, 2]> (codes)
    real_nchw = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides,
        pads: ints = @pads> (codes_nchw)
    highest_nchw = Cast <to = 2> (real_nchw)
    highest = Transpose <perm = [0, 2, 3, 1]> (highest_nchw)
    y = bitat_deploy.PackCodes <bits: int = @bits> (highest)
}
"""

_GLOBAL_CODE_SUM = """
GlobalCodeSum <channels, bits> (x) => (y) {
    space = Constant <value_ints = [1, 2]> ()
    codes = bitat_deploy.UnpackCodes <channels: int = @channels, bits: int = @bits> (x)
    wide = Cast <to = 6> (codes)
    y = ReduceSum <keepdims = 0> (wide, space)
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
        _UNPACK_BITS,
        _PACK_BITS,
        _PLANES,
        _UNPACK_CODES,
        _PACK_CODES,
        _POWER_OF_TWO,
        _UNPACK_LEVELS,
        _IMAGE_CONV,
        _SIGNED_BYTE_CONV,
        _LEVEL_CONV,
        _BIT_SERIAL_CONV,
        _BIT_SERIAL_DEPTHWISE_CONV,
        _BYTE_DEPTHWISE_CONV,
        _CODE_CONV,
        _CLIP_SUMS,
        _QUANTIZE,
        _SHIFT_RIGHT,
        _ROUNDING_SHIFT_RIGHT,
        _REQUANTIZE,
        _ADD_SHORTCUT,
        _SATURATE,
        _SATURATE_UINT8,
        _SATURATE_INT8,
        _RPRELU,
        _AVERAGE_POOL_STREAM,
        _MAX_POOL_CODES,
        _GLOBAL_CODE_SUM,
        _GLOBAL_STREAM_SUM,
        _QUANTIZED_DENSE,
    )
    return [parser.parse_function(f"{_HEADER}\n{body}") for body in bodies]
