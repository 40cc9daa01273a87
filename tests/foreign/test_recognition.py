"""What is binarized is found, however it is spelled, and computes what the file computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitat_deploy.datasets import drawn_pictures
from bitat_deploy.foreign import MixedNetwork, import_foreign
from bitat_deploy.foreign.check import logits_of
from bitat_deploy.foreign.load import load_graph
from bitat_deploy.foreign.preprocessing import with_picture_input
from bitat_deploy.network import Codes, Convolution, MaxPool, Preprocessing, Quantize
from tests.foreign.drawn_models import Model

QONNX = "qonnx.custom_op.general"


def imported(model: Model, folder: Path) -> MixedNetwork:
    """The mixed network, after its logits were found equal to the file's on drawn pictures."""
    path = model.save(folder)
    network = import_foreign(path, Preprocessing())
    original, shape, _ = with_picture_input(load_graph(path), Preprocessing())
    pictures = drawn_pictures(shape, 12)
    wanted, given = logits_of(original, pictures), logits_of(network.graph, pictures)
    close = np.abs(wanted - given).max(axis=1) <= 1e-4 * np.abs(wanted).max()
    assert close.mean() > 0.8, "what a rounding turned may differ in a picture, not in many"
    return network


def convolutions(network: MixedNetwork) -> list[Convolution]:
    return [layer for layer in network.layers.values() if isinstance(layer, Convolution)]


def codes_read(network: MixedNetwork, layer: Convolution) -> Codes:
    codes = network.formats[layer.input]
    assert isinstance(codes, Codes)
    return codes


def stem() -> Model:
    model = Model()
    model.conv(16, pads=[1] * 4)
    model.normalize()
    return model


def sign(model: Model) -> None:
    model.add("Sign")


def greater(model: Model) -> None:
    model.where_sign("Greater")


def less_swapped(model: Model) -> None:
    model.where_sign("Less", swap=True)


def cast(model: Model) -> None:
    model.add("GreaterOrEqual", model.current, model.constant(0))
    model.add("Cast", to=1)
    model.add("Mul", model.current, model.constant(2))
    model.add("Sub", model.current, model.constant(1))


def bipolar(model: Model) -> None:
    model.add("BipolarQuant", model.current, model.constant([0.7]), domain=QONNX)


@pytest.mark.parametrize("quantize", [sign, greater, less_swapped, cast, bipolar, Model.where_sign])
def test_signs_are_one_bit_and_fused_into_the_layer_before(
    quantize: Callable[[Model], None], tmp_path: Path
) -> None:
    model = stem()
    quantize(model)
    model.binary_conv(24, 1)
    model.normalize()
    quantize(model)
    model.binary_conv(16, 3, pads=[1] * 4)
    model.normalize()
    network = imported(model.classify(), tmp_path)
    first, second = convolutions(network)
    assert isinstance(first.output, Quantize) and not isinstance(second.output, Quantize)
    assert (first.weight_bits, second.weight_bits) == (1, 1)
    codes = [form for form in network.formats.values() if isinstance(form, Codes)]
    assert {(form.bits, form.signed) for form in codes} == {(1, True)}


@pytest.mark.parametrize(
    "attributes",
    [
        {"group": 16, "pads": [1] * 4},
        {"group": 4, "pads": [1] * 4, "strides": [2, 2]},
        {"dilations": [2, 2], "pads": [2] * 4},
        {"auto_pad": "SAME_UPPER"},
    ],
)
def test_windows_of_all_kinds(attributes: dict, tmp_path: Path) -> None:
    model = stem()
    model.where_sign()
    model.binary_conv(16, 3, **attributes)
    model.normalize()
    model.add("Relu")
    (layer,) = convolutions(imported(model.classify(), tmp_path))
    assert layer.groups == attributes.get("group", 1)
    assert layer.padding > 0 and layer.padding_level == 0


def test_sign_that_meets_zeros_is_computed_exactly_with_two_bits(tmp_path: Path) -> None:
    model = Model()
    model.conv(16, pads=[1] * 4)  # no bias: a black picture is all zeros
    model.add("Sign")
    model.binary_conv(8, 3, pads=[1] * 4)
    network = imported(model.classify(), tmp_path)
    (layer,) = convolutions(network)
    assert (layer.weight.shape[3], codes_read(network, layer).bits) == (16, 2)


def signs_of_sums(scale: float, height: int = 1) -> Model:
    """An even number of signs may add up to 0, of which Sign makes no sign."""
    model = stem()
    model.where_sign()
    weight = model.constant(scale * model.random.choice([-1, 1], (24, 16, height, 1)))
    model.add("Conv", model.current, weight, pads=[height // 2, 0] * 2)
    model.channels = 24
    model.add("Sign")
    model.binary_conv(8, 1)
    return model.classify()


def test_sums_of_zero_stay_zero_under_sign(tmp_path: Path) -> None:
    network = imported(signs_of_sums(0.5), tmp_path)
    assert codes_read(network, convolutions(network)[1]).bits == 2


@pytest.mark.parametrize("height", [1, 3])
def test_sums_of_zero_that_rounding_hides_are_told(height: int, tmp_path: Path) -> None:
    network = import_foreign(signs_of_sums(0.1, height).save(tmp_path), Preprocessing())
    assert codes_read(network, convolutions(network)[1]).bits == 2
    assert "depend on how it rounds" in network.metadata["import"]


def test_sums_of_zero_that_rounding_hides_everywhere(tmp_path: Path) -> None:
    """16 times 0.7 less 11.2 is not 0 in float32; the same picture of signs at every point."""
    model = Model()
    model.conv(16, weight=np.zeros((16, 3, 3, 3)), pads=[1] * 4)
    model.where_sign()
    weight = model.constant(np.full((24, 16, 1, 1), 0.7))
    model.add("Conv", model.current, weight, model.constant(np.full(24, -16 * np.float32(0.7))))
    model.channels = 24
    model.add("Sign")
    model.binary_conv(8, 1)
    network = import_foreign(model.classify().save(tmp_path), Preprocessing())
    assert codes_read(network, convolutions(network)[1]).bits == 2


@pytest.mark.parametrize(
    ("bits", "weight_bits", "signed"), [(2, 4, 0), (4, 2, 0), (3, 3, 1), (4, 1, 1)]
)
def test_quant_of_few_bits(bits: int, weight_bits: int, signed: int, tmp_path: Path) -> None:
    """Zero and even levels are there, as the mean of two odd ones."""
    model = stem()
    for out in (12, 8):
        if not signed:
            model.add("Relu")
        quantizer = (model.constant(0.3), model.constant(0), model.constant(bits))
        model.add("Quant", model.current, *quantizer, domain=QONNX, signed=signed, narrow=0)
        activation = model.current
        weight = model.constant(model.random.normal(0, 0.2, (out, model.channels, 3, 3)))
        scale = model.constant(0.1)
        if weight_bits == 1:
            model.add("BipolarQuant", weight, scale, domain=QONNX)
        else:
            constants = (scale, model.constant(0), model.constant(weight_bits))
            model.add("Quant", weight, *constants, domain=QONNX, signed=1, narrow=1)
        model.channels = out
        model.add("Conv", activation, model.current, pads=[1] * 4)
        model.normalize()
    network = imported(model.classify(), tmp_path)
    assert len(convolutions(network)) == 2


def test_eight_bits_stay_float(tmp_path: Path) -> None:
    model = stem()
    constants = (model.constant(0.05), model.constant(0), model.constant(8))
    model.add("Quant", model.current, *constants, domain=QONNX, signed=1, narrow=0)
    model.conv(8)
    network = imported(model.classify(), tmp_path)
    assert not network.layers
    assert "not quantized" in next(iter(network.reasons.values()))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_pad_before_is_part_of_the_convolution(value: float, tmp_path: Path) -> None:
    model = stem()
    model.where_sign()
    pads = model.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    model.add("Pad", model.current, pads, model.constant(value))
    model.binary_conv(8, 3)
    (layer,) = convolutions(imported(model.classify(), tmp_path))
    assert (layer.padding, layer.padding_level) == (1, int(value))


@pytest.mark.parametrize("slope", [0.25, -0.5])
def test_activations_before_a_sign_are_in_its_thresholds(slope: float, tmp_path: Path) -> None:
    """PReLU that falls on one side is no step function any more, and stays float."""
    model = stem()
    model.where_sign()
    model.binary_conv(8, 1)
    model.normalize()
    slopes = np.full((8, 1, 1), slope)
    model.add("PRelu", model.current, model.constant(slopes))
    model.add("Sub", model.current, model.constant(0.1))
    model.where_sign()
    model.binary_conv(8, 1)
    first, _ = convolutions(imported(model.classify(), tmp_path))
    assert isinstance(first.output, Quantize) == (slope > 0)


def test_a_constant_that_makes_more_channels_is_not_part_of_a_quantizer(tmp_path: Path) -> None:
    model = Model((1, 12, 12))
    model.conv(1, pads=[1] * 4)
    model.add("Mul", model.current, model.constant(np.reshape([1, -1, 0.5], (1, 3, 1, 1))))
    model.channels = 3
    model.add("Add", model.current, model.constant(0.1))
    model.where_sign()
    model.binary_conv(8, 1)
    assert len(convolutions(imported(model.classify(), tmp_path))) == 1


def test_dense_layers_after_a_flatten_are_convolutions_of_the_whole(tmp_path: Path) -> None:
    model = stem()
    model.add("MaxPool", kernel_shape=[3, 3], strides=[3, 3])
    model.where_sign()
    model.add("Flatten")
    signs = model.random.choice([-0.5, 0.5], (20, 16 * 4 * 4))
    model.add("Gemm", model.current, model.constant(signs), transB=1)
    model.add("Add", model.current, model.constant(model.random.normal(0, 3, 20)))
    model.where_sign()
    model.add("MatMul", model.current, model.constant(model.random.choice([-1, 1], (20, 10))))
    first, second = convolutions(imported(model, tmp_path))
    assert (first.kernel, second.kernel) == (4, 1)
    assert isinstance(first.output, Quantize)


def test_a_shortcut_keeps_the_sums_in_float(tmp_path: Path) -> None:
    model = stem()
    shortcut = model.current
    model.where_sign()
    model.binary_conv(16, 3, pads=[1] * 4)
    model.normalize()
    model.add("Add", model.current, shortcut)
    shortcut = model.current
    model.where_sign()
    model.binary_conv(16, 1)
    model.add("Add", model.current, shortcut)
    network = imported(model.classify(), tmp_path)
    assert len(convolutions(network)) == 2
    assert not any(isinstance(layer.output, Quantize) for layer in convolutions(network))


def test_two_readers_of_one_quantizer_share_its_codes(tmp_path: Path) -> None:
    model = stem()
    model.where_sign()
    model.binary_conv(16, 1)
    model.normalize()
    signs = model.where_sign()
    left = model.binary_conv(8, 1)
    model.channels = 16
    right = model.conv(8, 3, model.binary_weight(8, 3), pads=[1] * 4)
    model._nodes[-1].input[0] = signs
    model.add("Add", left, right)
    network = imported(model.classify(), tmp_path)
    assert len(convolutions(network)) == 3
    assert len({layer.input for layer in convolutions(network)}) == 2


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((3, 3), {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
        ((1, 3), {"pads": [0, 1, 0, 1]}),
        ((3, 1), {"pads": [1, 0, 1, 0], "strides": [2, 2]}),
        ((5, 3), {"pads": [2, 0, 2, 2]}),
        ((3, 3), {"pads": [1, 1, 3, 3], "dilations": [2, 2]}),
        ((2, 2), {"auto_pad": "SAME_UPPER", "group": 2}),
    ],
)
def test_what_is_no_square_is_filled_up_with_zeros(
    kernel: tuple[int, int], attributes: dict, tmp_path: Path
) -> None:
    model = stem()
    model.where_sign()
    shape = (8, 16 // attributes.get("group", 1), *kernel)
    weight = model.random.choice([-0.5, 0.5], shape)
    model.channels = 8
    model.add("Conv", model.current, model.constant(weight), **attributes)
    model.normalize()
    network = imported(model.classify(), tmp_path)
    (layer,) = convolutions(network)
    assert layer.kernel >= max(kernel)


def test_a_window_that_no_square_replaces_is_told(tmp_path: Path) -> None:
    model = stem()
    model.where_sign()
    weight = model.constant(model.random.choice([-1, 1], (8, 16, 2, 3)))
    model.channels = 8
    model.add("Conv", model.current, weight)
    network = imported(model.classify(), tmp_path)
    assert not network.layers
    assert any("height and width differently" in reason for reason in network.reasons.values())


@pytest.mark.parametrize(
    ("kernel", "attributes", "padding"),
    [
        ((1, 3), {}, 0),
        ((1, 5), {"pads": [0, 2, 0, 2], "strides": [2, 2]}, 2),
        ((4, 1), {"pads": [1, 0, 2, 0]}, 2),
        ((3, 1), {"pads": [2, 0, 2, 0], "dilations": [2, 2], "group": 4}, 2),
    ],
)
def test_rows_and_columns_are_windows_of_their_own(
    kernel: tuple[int, int], attributes: dict, padding: int, tmp_path: Path
) -> None:
    model = stem()
    for _ in range(2):
        model.where_sign()
        shape = (16, 16 // attributes.get("group", 1), *kernel)
        weight = model.random.choice([-0.5, 0.5], shape)
        model.add("Conv", model.current, model.constant(weight), **attributes)
        model.normalize()
    first, second = convolutions(imported(model.classify(), tmp_path))
    assert first.padding == padding
    assert (first.kernels[kernel.index(1)], second.square) == (1, False)
    # An uneven border is made up for by a weight of 0, which needs 2 bits.
    assert isinstance(first.output, Quantize) == (first.weight_bits == 1) == (kernel != (4, 1))


@pytest.mark.parametrize("quantize", [sign, cast, Model.where_sign])
def test_convolutions_along_one_axis(quantize: Callable[[Model], None], tmp_path: Path) -> None:
    """As networks that hear words have them, with all that goes along with them."""
    model = Model((1, 12, 40))
    model.add("Squeeze", model.current, model.constant([1], np.int64))
    model.channels = 12

    def line(kernel: int, weight: np.ndarray, **attributes: Any) -> None:
        model.channels = len(weight)
        model.add("Conv", model.current, model.constant(weight), **attributes)

    line(9, model.random.normal(0, 0.3, (16, 12, 9)), pads=[4, 4], strides=[2])
    model.normalize()
    slopes = model.constant(model.random.uniform(0, 0.5, (16, 1)))
    model.add("PRelu", model.current, slopes)
    for attributes in ({"pads": [1, 1]}, {"pads": [2, 2], "dilations": [2]}):
        quantize(model)
        line(3, model.random.choice([-0.5, 0.5], (16, 16, 3)), **attributes)
        model.normalize()
    model.add("MaxPool", kernel_shape=[2], strides=[2])
    model.add("Relu")
    model.add("ReduceMean", axes=[2], keepdims=0)
    weight = model.constant(model.random.normal(0, 1, (16, 10)))
    model.add("MatMul", model.current, weight)
    network = imported(model, tmp_path)
    first, second = convolutions(network)
    assert (first.kernels, second.kernels, second.dilation) == ((1, 3), (1, 3), 2)
    assert isinstance(first.output, Quantize)
    assert all(len(network.graph.types[tensor].shape) == 4 for tensor in network.layers)


def test_eight_bit_rows_have_a_border_along_them_alone(tmp_path: Path) -> None:
    model = Model((1, 12, 40))
    model.add("Squeeze", model.current, model.constant([1], np.int64))
    step, zero = model.constant(0.02), model.constant(7, np.uint8)
    model.add("QuantizeLinear", model.current, step, zero)
    model.add("DequantizeLinear", model.current, step, zero)
    weight = model.random.integers(-127, 128, (8, 12, 3)) * np.float32(0.013)
    model.add("Conv", model.current, model.constant(weight), pads=[1, 1])
    model.add("ReduceMean", axes=[2], keepdims=0)
    model.add("MatMul", model.current, model.constant(model.random.normal(0, 1, (8, 10))))
    (layer,) = convolutions(imported(model, tmp_path))
    assert (layer.kernels, layer.weight_bits) == ((1, 3), 8)


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("pads", [0, 1])
def test_max_pool_after_a_quantizer_is_one_of_codes(bits: int, pads: int, tmp_path: Path) -> None:
    """Two of them: after codes of float32, and after codes that a convolution writes."""
    model = stem()
    for _ in range(2):
        if bits == 1:
            model.where_sign()
        else:
            model.add("Relu")
            quantizer = (model.constant(0.3), model.constant(0), model.constant(bits))
            model.add("Quant", model.current, *quantizer, domain=QONNX, signed=0, narrow=0)
        model.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[pads] * 4)
        model.binary_conv(16, 1)
        model.normalize()
    network = imported(model.classify(), tmp_path)
    assert sum(isinstance(layer, MaxPool) for layer in network.layers.values()) == 2
    assert isinstance(convolutions(network)[0].output, Quantize)
    assert not any(node.op_type == "MaxPool" for node in network.graph.nodes)


def gradient_of_squares(model: Model) -> None:
    """Bi-Real Net's sign (arXiv 1808.00278, equation 7), as it is exported from PyTorch.

    The forward value is (sign(x) - slope) + slope, rounded as it is written.
    """
    x, one, two = model.current, model.constant(1), model.constant(2)

    def chosen(condition: str, limit: float, yes: str, no: str) -> str:
        mask = model.add("Cast", model.add(condition, x, model.constant(limit)), to=1)
        rest = model.add("Mul", no, model.add("Sub", one, mask))
        return model.add("Add", model.add("Mul", yes, mask), rest)

    square, double = model.add("Mul", x, x), model.add("Mul", two, x)
    rising, falling = model.add("Sub", double, square), model.add("Add", square, double)
    slope = chosen("Less", -1, model.constant(-1), falling)
    slope = chosen("Less", 0, slope, rising)
    slope = chosen("Less", 1, slope, one)
    model.add("Add", model.add("Sub", model.add("Sign", x), slope), slope)


def gradient_of_hyperbolic_tangent(model: Model) -> None:
    x = model.current
    slope = model.add("Tanh", model.add("Mul", x, model.constant(3)))
    model.add("Add", model.add("Sub", model.add("Sign", x), slope), slope)


def gradient_of_exponential(model: Model) -> None:
    """e^x is infinite from 89 on, and infinity less infinity is NaN."""
    x = model.current
    slope = model.add("Exp", x)
    slope = model.add("Div", slope, model.add("Add", slope, model.constant(1)))
    model.add("Add", model.add("Sub", model.add("Sign", x), slope), slope)


@pytest.mark.parametrize(
    "quantize", [gradient_of_squares, gradient_of_hyperbolic_tangent, gradient_of_exponential]
)
def test_signs_with_the_gradient_of_another_function(
    quantize: Callable[[Model], None], tmp_path: Path
) -> None:
    model = stem()
    quantize(model)
    model.binary_conv(16, 3, pads=[1] * 4)
    model.normalize()
    quantize(model)
    model.binary_conv(16, 1)
    network = imported(model.classify(), tmp_path)
    first, second = convolutions(network)
    assert (first.weight_bits, codes_read(network, first).bits) == (1, 1)
    assert isinstance(first.output, Quantize) and second.input.endswith(".codes")


def test_what_is_a_sign_but_near_its_step_is_none(tmp_path: Path) -> None:
    """A slope between -1 and 1, as of a hard tanh that is not so hard."""
    model = stem()
    model.add("Clip", model.add("Mul", model.current, model.constant(3)), *limits(model))
    model.binary_conv(16, 3)
    network = imported(model.classify(), tmp_path)
    assert not network.layers


def limits(model: Model) -> tuple[str, str]:
    return model.constant(-1), model.constant(1)


def two_valued(model: Model, low: float, high: float) -> None:
    reached = model.add("GreaterOrEqual", model.current, model.constant(0.1))
    model.add("Where", reached, model.constant(high), model.constant(low))


def two_valued_weight(model: Model, out: int, kernel: int, groups: int) -> np.ndarray:
    """Another pair for each output."""
    shape = (out, model.channels // groups, kernel, kernel)
    middle, half = (
        model.random.uniform(low, high, (out, 1, 1, 1)) for low, high in ((-0.1, 0.2), (0.1, 0.3))
    )
    return middle + half * model.random.choice([-1, 1], shape)


@pytest.mark.parametrize("padded_before", [False, True])
@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (4, 1)])
def test_two_values_of_any_size_are_one_bit(
    groups: int, stride: int, padded_before: bool, tmp_path: Path
) -> None:
    """Of weights and of activations, as AdaBin has it, with a border of zeros that are neither."""
    model = stem()
    two_valued(model, -0.3, 0.8)
    window = {"strides": [stride] * 2, "group": groups}
    if padded_before:
        pads = model.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
        model.add("Pad", model.current, pads)
    else:
        window["pads"] = [1] * 4
    model.conv(12, 3, two_valued_weight(model, 12, 3, groups), bias=True, **window)
    model.normalize()
    two_valued(model, 0.2, 1.4)
    model.conv(8, 1, two_valued_weight(model, 8, 1, 1))
    network = imported(model.classify(), tmp_path)
    for layer in convolutions(network):
        assert (layer.weight_bits, codes_read(network, layer).bits) == (1, 1)
    assert [layer.out_channels for layer in convolutions(network)] == [12 + groups, 9]


def test_two_valued_activations_are_fused_where_no_border_is(tmp_path: Path) -> None:
    model = stem()
    for kernel in (3, 1, 3):
        two_valued(model, -0.3, 0.8)
        model.binary_conv(16, kernel)
        model.normalize()
    network = imported(model.classify(), tmp_path)
    assert [isinstance(layer.output, Quantize) for layer in convolutions(network)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pads", [0, 1])
def test_ternary_weights_and_activations(groups: int, pads: int, tmp_path: Path) -> None:
    """Of two bits; in groups, where the sum of the inputs would cost more, two copies of one."""
    model = stem()
    for _ in range(2):
        x = model.current
        low = model.add("Cast", model.add("Less", x, model.constant(-0.4)), to=1)
        high = model.add("Cast", model.add("Greater", x, model.constant(0.6)), to=1)
        model.add("Sub", high, low)
        weight = model.random.choice([-0.2, 0, 0.2], (16, 16 // groups, 3, 3))
        model.conv(16, 3, weight, group=groups, pads=[pads] * 4)
        model.normalize()
    network = imported(model.classify(), tmp_path)
    for layer in convolutions(network):
        assert codes_read(network, layer).bits == 2
        assert layer.weight_bits == (2 if groups == 1 else 1)
        assert layer.weight.shape[3] == (16 if groups == 1 else 16 // groups * 2)


@pytest.mark.parametrize(("signed", "pads"), [(0, 1), (1, 0)])
def test_thresholds_of_two_bits_are_fused(signed: int, pads: int, tmp_path: Path) -> None:
    """Signed ones hold -2 to 1, and their border of zeros is another constant than their inside."""
    model = stem()
    for _ in range(3):
        quantizer = (model.constant(0.7), model.constant(0), model.constant(2))
        model.add("Quant", model.current, *quantizer, domain=QONNX, signed=signed, narrow=0)
        model.binary_conv(16, 3, pads=[pads] * 4)
        model.normalize()
    layers = convolutions(imported(model.classify(), tmp_path))
    assert [isinstance(layer.output, Quantize) for layer in layers] == [True, True, False]
