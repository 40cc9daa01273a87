"""The definition, compared with values computed by hand."""

import numpy as np

from bitat_deploy.network import (
    IMAGE,
    AveragePoolStream,
    Convolution,
    GlobalSum,
    IntegerNetwork,
    Layer,
    Quantize,
    QuantizeStream,
    Requantize,
    RPReLU,
    evaluate,
)


def int16(*values: int) -> np.ndarray:
    return np.array(values, np.int16)


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def run(pixels: list[list[int]], *layers: Layer) -> dict[str, np.ndarray]:
    """Values of every layer for one picture of one channel, without batch and channel axis."""
    image = np.array(pixels, np.uint8)[None, :, :, None]
    network = IntegerNetwork("hand", image.shape[1:], layers, (), {})
    return {name: value[0] for name, value in evaluate(network, image).items()}


def stream(multiplier: int = 1, bias: int = 0, shift: int = 0, **options: object) -> Convolution:
    """The picture itself, requantized."""
    stage = Requantize(int16(multiplier), int32(bias), shift, **options)  # type: ignore[arg-type]
    return Convolution("stream", IMAGE, np.ones((1, 1, 1, 1), np.int8), 8, stage)


def test_shifts_round_down_and_streams_saturate() -> None:
    assert run([[0, 1, 3]], stream(-1, 0, 1))["stream"].tolist() == [[[0], [-1], [-2]]]
    assert run([[0, 255]], stream(200, -40000))["stream"].tolist() == [[[-32768], [11000]]]
    assert run([[0, 255]], stream(200, 0))["stream"].tolist() == [[[0], [32767]]]


def test_rprelu() -> None:
    """before 1, slope 3 / 4 rounded to the nearest, after 100."""
    activation = RPReLU(int16(1), int16(3), 2, int16(100))
    values = run([[0, 1, 2, 3, 4, 9]], stream(1, -4, activation=activation))["stream"]
    # t = -3 -2 -1 0 1 6; below 0: (-9 + 2) >> 2 = -2, (-6 + 2) >> 2 = -1, (-3 + 2) >> 2 = -1
    assert values[0, :, 0].tolist() == [98, 99, 99, 100, 101, 106]


def test_codes_stand_for_levels() -> None:
    thresholds = int32(2, 4, 9)[:, None]
    for signed, levels in ((False, [0, 1, 2, 3]), (True, [-3, -1, 1, 3])):
        codes = QuantizeStream("codes", "stream", Quantize(thresholds, signed))
        values = run([[1, 2, 8, 9]], stream(), codes, GlobalSum("sum", "codes"))
        assert values["codes"][0, :, 0].tolist() == levels
        assert values["sum"].tolist() == [0 + 1 + 2 + 3]


def test_the_border_of_a_binary_convolution_is_zero_or_plus_one() -> None:
    sign = QuantizeStream("sign", "stream", Quantize(int32(1)[:, None], True))
    weight = np.ones((1, 3, 3, 1), np.int8)
    stage = Requantize(int16(1), int32(0), 0)
    for level, corner in ((0, -4), (1, -4 + 5)):
        layer = Convolution("conv", "sign", weight, 1, stage, padding=1, padding_level=level)
        values = run([[0, 0, 0], [0, 0, 0], [0, 0, 0]], stream(), sign, layer)["conv"]
        assert (values[1, 1, 0], values[0, 0, 0]) == (-9, corner)


def test_average_pool_rounds_and_repeats_the_last_row_and_column() -> None:
    values = run([[0, 1, 3], [0, 1, 6], [7, 8, 9]], stream(), AveragePoolStream("pool", "stream"))
    assert values["pool"][..., 0].tolist() == [[1, 5], [8, 9]]


def test_a_shortcut_gives_its_channels_again() -> None:
    weight = np.array([1, 2], np.int8).reshape(2, 1, 1, 1)
    two = Convolution("two", IMAGE, weight, 8, Requantize(int16(1, 1), int32(0, 0), 0))
    sign = QuantizeStream("sign", "two", Quantize(int32(0, 0)[None], True))
    stage = Requantize(int16(1, 1, 1, 1), int32(100, 200, 300, 400), 0, shortcut="two")
    four = Convolution("four", "sign", np.ones((4, 1, 1, 2), np.int8), 1, stage)
    assert run([[5]], two, sign, four)["four"].tolist() == [[[107, 212, 307, 412]]]
