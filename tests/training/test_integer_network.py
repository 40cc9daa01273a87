from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bitat_deploy.errors import InputError, UnsupportedOperatorError
from bitat_deploy.network import (
    SATURATION,
    Convolution,
    Layer,
    QuantizedDense,
    Requantize,
    apply_output_stage,
)
from bitat_deploy.onnx_format import reference_logits, to_onnx
from bitat_deploy.training.data import images_to_tensor
from bitat_deploy.training.folding import fold_thresholds
from bitat_deploy.training.folding.affine import fold_affine
from bitat_deploy.training.folding.requantize import fold_requantize
from bitat_deploy.training.folding.thresholds import stream_thresholds
from bitat_deploy.training.integer_evaluation import evaluate_layers
from bitat_deploy.training.integer_network import integer_logits, to_integer_network
from bitat_deploy.training.networks import NormalizedLayer, build_network
from bitat_deploy.training.quantizers import make_activation
from bitat_deploy.training.recipe_sections import QuantizationRecipe
from tests.drawn_networks import draw_images as draw_numpy_images
from tests.drawn_networks import draw_network, numpy_logits
from tests.training.trained_networks import (
    CHAINS,
    EIGHT_BITS,
    INPUT_SHAPE,
    SIGN,
    STREAMS,
    V1,
    Kind,
    draw_images,
    of_block,
    trained,
    uniq,
)

NAMES = tuple("abcdefghij")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads only wait for each other where tensors are this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", CHAINS, ids=str)
def test_chains_agree_with_float_evaluation_in_every_code(kind: Kind) -> None:
    network = trained(kind)
    images = draw_images(40)
    integer = to_integer_network(network, "drawn", NAMES, {})
    recorded: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, NormalizedLayer):
            unit = module.activation.unit()
            module.register_forward_hook(
                lambda _m, _i, output, unit=unit: recorded.append((output / unit).round())
            )
    with torch.no_grad():
        logits = network(images_to_tensor(images).to(torch.float64))
    values = evaluate_layers(integer, images.numpy())
    assert len(recorded) == len(integer.layers) - 2
    for layer, levels in zip(integer.layers, recorded, strict=False):
        wrong = values[layer.name] != levels
        assert not wrong.any(), f"{layer.name}: {wrong.sum()} codes differ"
        assert len(levels.unique()) > 2**layer.output.bits // 2  # the codes vary
    last = integer.layers[-1]
    assert isinstance(last, QuantizedDense)
    np.testing.assert_allclose(integer_logits(integer, images.numpy()), logits, atol=last.scale)


@pytest.mark.parametrize("kind", STREAMS, ids=str)
def test_streams_come_near_to_float_evaluation(kind: Kind) -> None:
    """What is near a threshold may fall on its other side; all else is the rounding of int16."""
    network = trained(kind)
    images = draw_images(60)
    integer = to_integer_network(network, "drawn", NAMES, {})
    with torch.no_grad():
        logits = network(images_to_tensor(images).to(torch.float64)).numpy()
    answers = integer_logits(integer, images.numpy())
    differences = np.abs(answers - logits).mean(axis=1) / logits.std()
    assert np.median(differences) < 0.02
    assert (answers.argmax(axis=1) == logits.argmax(axis=1)).mean() >= 0.9
    values = evaluate_layers(integer, images.numpy())
    streams = [values[x.name] for x in integer.layers if _writes_stream(x)]
    saturated = [(stream.abs() >= 32767).double().mean() for stream in streams]
    assert max(saturated) < 1e-3
    assert max(stream.abs().max() for stream in streams) > 20000  # no bits are wasted


@pytest.mark.parametrize("kind", EIGHT_BITS, ids=str)
def test_bytes_come_near_to_float_evaluation(kind: Kind) -> None:
    """A value between two of 255 levels often falls on the other side of their middle."""
    network = trained(kind)
    images = draw_images(40)
    integer = to_integer_network(network, "drawn", NAMES, {})
    with torch.no_grad():
        logits = network(images_to_tensor(images).to(torch.float64)).numpy()
    answers = integer_logits(integer, images.numpy())
    differences = np.abs(answers - logits).mean(axis=1) / logits.std()
    assert np.median(differences) < 0.1
    assert (answers.argmax(axis=1) == logits.argmax(axis=1)).mean() >= 0.9


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_affine_maps_of_sums(dtype: str) -> None:
    """Every sum gets floor(gain sum + offset), saturated, unless that is within 1/50 of a whole.

    In a stream, whose steps are small, a few of them are lost where another channel is steep.
    """
    gain = np.array([0.001, -0.004, 3.7, 700, -1e6, 0, 1e-9, 0.02, -0.5, 0.01])
    offset = np.array([3.2, 100.4, -900, 44, -7, 12.5, 70.5, -1e9, 1e9, -200.3])
    sums = np.arange(-70_000, 70_000)[:, None]
    bounds = (np.full(10, sums.min()), np.full(10, sums.max()))
    stage = fold_affine(gain, offset, bounds, SATURATION[dtype], dtype)
    real = gain * sums + offset
    expected = np.clip(np.floor(real), *SATURATION[dtype])
    found = apply_output_stage(stage, sums)
    if dtype == "int16":
        assert np.abs(found - expected).max() <= 4
        return
    certain = np.abs(real - np.rint(real)) > 0.02
    assert np.array_equal(found[certain], expected[certain])
    assert np.abs(found - expected).max() <= 1
    assert certain.mean() > 0.7


@pytest.mark.parametrize("kind", CHAINS + STREAMS + EIGHT_BITS, ids=str)
def test_pytorch_numpy_and_onnx_runtime_give_one_answer(kind: Kind) -> None:
    integer = to_integer_network(trained(kind), "drawn", NAMES, {})
    images = draw_images(3).numpy()
    expected = numpy_logits(integer, images)
    assert np.array_equal(integer_logits(integer, images), expected)
    model = to_onnx(integer)
    assert np.array_equal(reference_logits(model, images), expected)


@pytest.mark.parametrize("seed", range(3))
def test_pytorchs_integer_evaluation_equals_numpys(seed: int) -> None:
    network = draw_network(seed)
    images = draw_numpy_images(network, 9, seed)
    assert np.array_equal(integer_logits(network, images), numpy_logits(network, images))


def test_thresholds_by_hand() -> None:
    """gamma (sum - mean) / 2 + beta >= 0 for sums from -9 to 9."""
    normalization = nn.BatchNorm2d(6, eps=0.0).eval()
    with torch.no_grad():
        normalization.running_var.fill_(4.0)
        normalization.running_mean.copy_(torch.tensor([3.0, 3.0, 0.0, 0.0, 100.0, -100.0]))
        normalization.weight.copy_(torch.tensor([1.0, -1.0, 0.0, 0.0, 1.0, 1.0]))
        normalization.bias.copy_(torch.tensor([0.0, 0.0, 0.5, -0.5, 0.0, 0.0]))
    nine = np.full(6, 9)
    crossings = np.array([[0.0], [1.0]])
    threshold, negated = fold_thresholds(normalization, np.ones(6), -nine, nine, crossings)
    assert negated.tolist() == [False, True, False, False, False, False]
    # sum >= 3; -sum >= -3; always; never; never; always
    assert threshold[0].tolist() == [3, -3, -9, 10, 10, -9]
    # sum >= 5; -sum >= -1; never; never; never; always
    assert threshold[1].tolist() == [5, -1, 10, 10, 10, -9]


@pytest.mark.parametrize("quantization", [SIGN, uniq(1, 1), uniq(2, 3)], ids=str)
@pytest.mark.parametrize("linear", [False, True])
def test_thresholds_of_a_normalized_stream(quantization: QuantizationRecipe, linear: bool) -> None:
    """Every int16 of a stream gets the code that its normalized value has in float64."""
    torch.manual_seed(7)
    quantization = replace(quantization, signed_bottleneck=quantization.quantizer == "uniq")
    activation = make_activation(quantization, linear)
    activation.add_normalization(5)
    part, scale = activation.normalization, 900.0
    with torch.no_grad():
        part.weight.copy_(torch.tensor([1.0, 0.3, -2.0, 4.0, 1e-9]))
        activation.constrain()
        assert part.weight.tolist() == pytest.approx([1, 0.3, 1e-3, 4, 1e-3])
        part.bias.normal_()
        part.running_mean.normal_(std=3)
        part.running_var.uniform_(0.2, 9)
    stream = np.arange(-(2**15), 2**15)[:, None]
    thresholds = stream_thresholds(activation.crossings(), scale)
    codes = (stream[:, :, None] >= thresholds.T).sum(axis=2)
    values = torch.from_numpy((stream + 0.5) / scale).expand(-1, 5).reshape(-1, 5, 1, 1)
    activation.quantized = True
    with torch.no_grad():
        levels = activation.double().eval()(values).reshape(-1, 5).numpy() / activation.unit()
    top = 2**activation.bits - 1
    expected = (levels + top) / 2 if activation.signed else levels
    assert np.array_equal(codes, np.rint(expected))
    assert all(len(np.unique(column)) == top + 1 for column in codes.T[[0, 1, 3]])


@pytest.mark.parametrize(("variance", "error"), [(0.5, 3), (1e-12, 130)])
def test_requantization_by_hand(variance: float, error: float) -> None:
    """y = gamma (sum / 4 - mean) / deviation + beta; a third channel that hardly ever varied."""
    normalization = nn.BatchNorm2d(3, eps=0.0).eval()
    with torch.no_grad():
        normalization.running_var.copy_(torch.tensor([4.0, 4.0, variance]))
        normalization.running_mean.copy_(torch.tensor([3.0, -1.0, 5.0]))
        normalization.weight.copy_(torch.tensor([1.5, -0.3, 1.0]))
        normalization.bias.copy_(torch.tensor([0.1, 7.0, -2.0]))
    largest = np.full(3, 1000)
    stage = fold_requantize(normalization, np.full(3, 0.25), largest, 256.0, None, None)
    sums = np.arange(-1000, 1001)[:, None]
    y = (sums * stage.multiplier.astype(np.int64) + stage.bias) >> stage.shift
    expected = 256 * np.array([1.5, -0.3]) * (sums / 4 - np.array([3.0, -1.0])) / 2
    expected += 256 * np.array([0.1, 7.0])
    assert np.abs(y[:, :2] - expected).max() < error
    assert y[1020, 2] == -512  # at its mean


def test_what_the_device_has_no_operator_for_is_named() -> None:
    network = trained(Kind(V1, uniq(2, 4)))
    network.body[0].depthwise.weight_bits = 6
    with pytest.raises(UnsupportedOperatorError, match=r"depthwise' has weights of 6 bits"):
        to_integer_network(network, "drawn", NAMES, {})
    network.stem.activation.bits = 5
    with pytest.raises(UnsupportedOperatorError, match="stem' has activations of 5 bits"):
        to_integer_network(network, "drawn", NAMES, {})


def _writes_stream(layer: Layer) -> bool:
    return isinstance(layer, Convolution) and isinstance(layer.output, Requantize)


def test_a_stream_without_training_has_no_range() -> None:
    network = build_network(of_block(V1, "shortcut"), QuantizationRecipe(), INPUT_SHAPE, 10)
    with pytest.raises(InputError, match="not been trained"):
        to_integer_network(network, "drawn", NAMES, {})
