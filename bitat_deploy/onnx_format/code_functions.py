"""Bodies of the ONNX functions that read or write packed codes; :mod:`.functions` parses them."""

UNPACK_BITS = """
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

PACK_BITS = """
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
PLANES = """
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

UNPACK_CODES = """
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

PACK_CODES = """
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

# code * (1 + signed) - signed * (2^bits - 1), in float32.
UNPACK_LEVELS = """
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

# In float32, which holds these sums exactly (network/formats.py checks it), because ONNX Runtime's
# ConvInteger is slow with as many groups as channels and pads with nothing but zero codes. Identity
# as ONNX Runtime before 1.25 takes pads for malformed that are a Constant of value_ints.
LEVEL_CONV = """
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

BIT_SERIAL_CONV = f"""
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

BIT_SERIAL_DEPTHWISE_CONV = f"""
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

CODE_CONV = f"""
CodeConv <channels, bits, signed, group, strides, pads, dilations, padding_level>
        (x, weight) => (sum) {{
    levels = bitat_deploy.UnpackLevels
        <channels: int = @channels, bits: int = @bits, signed: int = @signed> (x)
    real_weight = Cast <to = 1> (weight)
    filters = Transpose <perm = [0, 3, 1, 2]> (real_weight)
    sum = bitat_deploy.LevelConv <{_CONV_ATTRIBUTES}, group: int = @group> (levels, filters)
}}
"""

QUANTIZE = """
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

MAX_POOL_CODES = """
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

GLOBAL_CODE_SUM = """
GlobalCodeSum <channels, bits> (x) => (y) {
    space = Constant <value_ints = [1, 2]> ()
    codes = bitat_deploy.UnpackCodes <channels: int = @channels, bits: int = @bits> (x)
    wide = Cast <to = 6> (codes)
    y = ReduceSum <keepdims = 0> (wide, space)
}
"""
