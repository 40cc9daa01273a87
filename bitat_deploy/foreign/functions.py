"""The ONNX functions of mixed networks besides ours: float tensors to codes, and int8 files' bytes.

What those of bytes compute is defined in :mod:`bitat_deploy.network.byte_layers`; their bytes are
uint8 in NHWC.
"""

import onnx
from onnx import parser

from bitat_deploy.onnx_format import DOMAIN, OPSET, VERSION, model_local_functions

QUANTIZE_FLOAT = "QuantizeFloat"
RESCALE_SUMS, PAD_BYTES = "RescaleSums", "PadBytes"
ADD_BYTES, MAP_BYTES, AVERAGE_BYTES = "AddBytes", "MapBytes", "AverageBytes"

_HEADER = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}, "{DOMAIN}": {VERSION}]>'

# A channel's code is the number of thresholds that x * sign is not below; ``channel`` says which
# channel of x each channel of the codes reads.
_QUANTIZE_FLOAT = f"""
{QUANTIZE_FLOAT} <bits> (x, channel, sign, thresholds) => (packed) {{
    middle = Constant <value_ints = [-2]> ()
    chosen = Gather <axis = 1> (x, channel)
    nhwc = Transpose <perm = [0, 2, 3, 1]> (chosen)
    turned = Mul (nhwc, sign)
    column = Unsqueeze (turned, middle)
    reached = GreaterOrEqual (column, thresholds)
    steps = Cast <to = 6> (reached)
    count = ReduceSum <keepdims = 0> (steps, middle)
    codes = Cast <to = 2> (count)
    packed = bitat_deploy.PackCodes <bits: int = @bits> (codes)
}}
"""

_RESCALE_SUMS = f"""
{RESCALE_SUMS} (sum, bias, multiplier, zero, low, high) => (y) {{
    moved = Add (sum, bias)
    real = Cast <to = 1> (moved)
    scaled = Mul (real, multiplier)
    whole = Round (scaled)
    shifted = Add (whole, zero)
    limited = Clip (shifted, low, high)
    y = Cast <to = 2> (limited)
}}
"""

# Pads of all axes: ONNX Runtime 1.31 moves a transposition past a Pad as if that had no axes.
_PAD_BYTES = f"""
{PAD_BYTES} (x, pads, level) => (y) {{
    y = Pad (x, pads, level)
}}
"""

# Products of 8 and 24 bits are exact in float64, and so are the sums that float32 then rounds.
_ADD_BYTES = f"""
{ADD_BYTES} (a, b, ratio_a, ratio_b, fixed, offset) => (y) {{
    low = Constant <value = double {{0.0}}> ()
    high = Constant <value = double {{255.0}}> ()
    wide_b = Cast <to = 11> (b)
    level_b = Sub (wide_b, offset)
    product_b = Mul (level_b, ratio_b)
    sum_b = Add (product_b, fixed)
    inner = Cast <to = 1> (sum_b)
    wide_inner = Cast <to = 11> (inner)
    wide_a = Cast <to = 11> (a)
    level_a = Sub (wide_a, offset)
    product_a = Mul (level_a, ratio_a)
    sum_a = Add (product_a, wide_inner)
    real = Cast <to = 1> (sum_a)
    whole = Round (real)
    wide = Cast <to = 11> (whole)
    moved = Add (wide, offset)
    limited = Clip (moved, low, high)
    y = Cast <to = 2> (limited)
}}
"""

# ``starts`` say where each channel's table begins.
_MAP_BYTES = f"""
{MAP_BYTES} (x, starts, table) => (y) {{
    wide = Cast <to = 6> (x)
    place = Add (wide, starts)
    y = Gather (table, place)
}}
"""

_AVERAGE_BYTES = f"""
{AVERAGE_BYTES} (x, bias, multiplier, zero, low, high) => (y) {{
    space = Constant <value_ints = [1, 2]> ()
    wide = Cast <to = 6> (x)
    sum = ReduceSum <keepdims = 1> (wide, space)
    y = bitat_deploy.{RESCALE_SUMS} (sum, bias, multiplier, zero, low, high)
}}
"""

_BODIES = (
    *(_QUANTIZE_FLOAT, _RESCALE_SUMS, _PAD_BYTES),
    *(_ADD_BYTES, _MAP_BYTES, _AVERAGE_BYTES),
)


def mixed_functions(opset: int) -> tuple[onnx.FunctionProto, ...]:
    """All functions of our domain and those of mixed networks, for an operator set >= ours.

    None of the operators in their bodies has another meaning in a newer set.
    """
    bodies = (parser.parse_function(_HEADER + body) for body in _BODIES)
    functions = [*model_local_functions(), *bodies]
    for function in functions:
        for entry in function.opset_import:
            if entry.domain == "":
                entry.version = opset
    return tuple(functions)
