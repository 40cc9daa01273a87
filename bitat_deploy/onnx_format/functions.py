"""Our operators as ONNX model-local functions whose bodies are standard operators.

A file that carries them needs no custom-operator library: ONNX Runtime inlines the bodies. The
signatures are listed in docs/design.md. Everything is exact: integers up to the one
multiplication by the classifier's scale.

On {0, 1} inputs ``b`` for -1/+1 inputs ``2 b - 1``, a sum over weights ``w`` is
``2 * sum(w * b) - sum(w)``, so the integer operators of ONNX can be used as they are.
"""

import onnx
from onnx import parser

DOMAIN = "bitat_deploy"
VERSION = 1
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

# Weights as uint8 with a zero point of 128: ONNX Runtime's kernels for uint8 times int8 may
# saturate on processors without VNNI, those for uint8 times uint8 never do.
_QUANTIZED_CONV = """
QuantizedConvThreshold <strides, pads> (x, weight, threshold) => (y) {
    offset = Constant <value = int32 {128}> ()
    zero_point = Constant <value = uint8 {128}> ()
    x_zero_point = Constant <value = uint8 {0}> ()
    wide_weight = Cast <to = 6> (weight)
    shifted_weight = Add (wide_weight, offset)
    weight_uint8 = Cast <to = 2> (shifted_weight)
    weight_nchw = Transpose <perm = [0, 3, 1, 2]> (weight_uint8)
    x_nchw = Transpose <perm = [0, 3, 1, 2]> (x)
    sum_nchw = ConvInteger <strides: ints = @strides, pads: ints = @pads>
        (x_nchw, weight_nchw, x_zero_point, zero_point)
    sum = Transpose <perm = [0, 2, 3, 1]> (sum_nchw)
    positive = GreaterOrEqual (sum, threshold)
    bits = Cast <to = 2> (positive)
    y = bitat_deploy.PackBits (bits)
}
"""

# In float32, which holds these small integers exactly, because ONNX Runtime's ConvInteger is slow
# with as many groups as channels.
_BINARY_DEPTHWISE_CONV = """
BinaryDepthwiseConvThreshold <channels, strides, pads> (x, weight, threshold) => (y) {
    one_uint8 = Constant <value = uint8 {1}> ()
    one = Constant <value = int32 {1}> ()
    two = Constant <value = int32 {2}> ()
    space = Constant <value_ints = [2, 3]> ()
    taps = Constant <value_ints = [0, 1]> ()
    middle = Constant <value_ints = [1]> ()
    bits = bitat_deploy.UnpackBits <channels: int = @channels> (x)
    bits_nchw = Transpose <perm = [0, 3, 1, 2]> (bits)
    border = Constant <value_ints: ints = @pads> ()
    padded = Pad (bits_nchw, border, one_uint8, space)
    real_bits = Cast <to = 1> (padded)
    weight_bits = bitat_deploy.UnpackBits <channels: int = @channels> (weight)
    wide_weight = Cast <to = 6> (weight_bits)
    doubled = Mul (wide_weight, two)
    signs = Sub (doubled, one)
    double_signs = Mul (signs, two)
    signs_chw = Transpose <perm = [2, 0, 1]> (double_signs)
    filters = Unsqueeze (signs_chw, middle)
    real_filters = Cast <to = 1> (filters)
    real_product = Conv <group: int = @channels, strides: ints = @strides>
        (real_bits, real_filters)
    product_nchw = Cast <to = 6> (real_product)
    product = Transpose <perm = [0, 2, 3, 1]> (product_nchw)
    sign_sum = ReduceSum <keepdims = 0> (signs, taps)
    sum = Sub (product, sign_sum)
    positive = GreaterOrEqual (sum, threshold)
    result_bits = Cast <to = 2> (positive)
    y = bitat_deploy.PackBits (result_bits)
}
"""

_BINARY_POINTWISE_CONV = """
BinaryPointwiseConvThreshold <channels> (x, weight, threshold) => (y) {
    one = Constant <value = int8 {1}> ()
    last = Constant <value_ints = [-1]> ()
    bits = bitat_deploy.UnpackBits <channels: int = @channels> (x)
    weight_bits = bitat_deploy.UnpackBits <channels: int = @channels> (weight)
    weight_int8 = Cast <to = 3> (weight_bits)
    doubled = Add (weight_int8, weight_int8)
    signs = Sub (doubled, one)
    double_signs = Add (signs, signs)
    filters = Transpose <perm = [1, 0]> (double_signs)
    product = MatMulInteger (bits, filters)
    wide_signs = Cast <to = 6> (signs)
    sign_sum = ReduceSum <keepdims = 0> (wide_signs, last)
    sum = Sub (product, sign_sum)
    positive = GreaterOrEqual (sum, threshold)
    result_bits = Cast <to = 2> (positive)
    y = bitat_deploy.PackBits (result_bits)
}
"""

_GLOBAL_BIT_COUNT = """
GlobalBitCount <channels> (x) => (y) {
    space = Constant <value_ints = [1, 2]> ()
    bits = bitat_deploy.UnpackBits <channels: int = @channels> (x)
    wide = Cast <to = 6> (bits)
    y = ReduceSum <keepdims = 0> (wide, space)
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
        _QUANTIZED_CONV,
        _BINARY_DEPTHWISE_CONV,
        _BINARY_POINTWISE_CONV,
        _GLOBAL_BIT_COUNT,
        _QUANTIZED_DENSE,
    )
    return [parser.parse_function(f"{_HEADER}\n{body}") for body in bodies]
