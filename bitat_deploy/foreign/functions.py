"""The ONNX function between float tensors and codes, which mixed networks need besides ours."""

import onnx
from onnx import parser

from bitat_deploy.onnx_format import DOMAIN, OPSET, VERSION, model_local_functions

QUANTIZE_FLOAT = "QuantizeFloat"

# A channel's code is the number of thresholds that x * sign is not below; ``channel`` says which
# channel of x each channel of the codes reads.
_QUANTIZE_FLOAT = f"""
<domain: "{DOMAIN}", opset_import: ["": {OPSET}, "{DOMAIN}": {VERSION}]>
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


def mixed_functions(opset: int) -> tuple[onnx.FunctionProto, ...]:
    """All functions of our domain and the one for float tensors, for an operator set >= ours.

    None of the operators in their bodies has another meaning in a newer set.
    """
    functions = [*model_local_functions(), parser.parse_function(_QUANTIZE_FLOAT)]
    for function in functions:
        for entry in function.opset_import:
            if entry.domain == "":
                entry.version = opset
    return tuple(functions)
