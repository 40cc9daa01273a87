"""A network that contradicts itself, or that could overflow, cannot be made."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitat_deploy.network import (
    Bytes,
    Codes,
    Convolution,
    Counts,
    Image,
    IntegerNetwork,
    Logits,
    Requantize,
    Rescale,
    Sums,
    output_format,
)
from tests.drawn_networks import draw_eight_bit_network, draw_network, draw_shortcut_network

BINARY = draw_network(0)
SHORTCUT = draw_shortcut_network(0)
EIGHT_BIT = draw_eight_bit_network(0)
RESCALE = Rescale(np.zeros(4, np.int32), np.ones(4, np.float32), zero=3)


def change(network: IntegerNetwork, name: str, edit: Callable[[Any], Any]) -> IntegerNetwork:
    layers = tuple(edit(layer) if layer.name == name else layer for layer in network.layers)
    return replace(network, layers=layers)


def test_formats_of_a_chain() -> None:
    formats = BINARY.formats()
    assert formats["block0.pointwise"] == Codes((6, 5, 17), bits=1, signed=True)
    assert formats["pool"] == Counts((40,), limit=30)
    assert formats["classifier"] == Logits((10,))


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("stem", lambda x: replace(x, input="nowhere"), "reads 'nowhere', which no earlier layer"),
        ("block0.pointwise", lambda x: replace(x, name="stem"), "another layer has the same name"),
        ("stem", lambda x: replace(x, padding_level=1), "padded with 0"),
        ("stem", lambda x: replace(x, output=RESCALE), "rescales its sums in float32"),
        ("block0.depthwise", lambda x: replace(x, weight=x.weight * 0), "not levels of 1 bit"),
        ("block0.depthwise", lambda x: replace(x, padding_level=3), "neither 0 nor 1"),
        ("block0.depthwise", lambda x: replace(x, weight=x.weight[:, :0, :1]), "its kernel, .* 0"),
        ("block0.depthwise", lambda x: replace(x, groups=3), "reads 3, not 9"),
        (
            "block0.pointwise",
            lambda x: replace(x, input="pool"),
            "reads 'pool', which no earlier layer",
        ),
        ("block0.pointwise", lambda x: replace(x, output=Sums()), "neither the picture, nor"),
        ("classifier", lambda x: replace(x, input="stem"), "no vector of counts"),
        ("classifier", lambda x: replace(x, bias=x.bias + (2**31 - 2000)), "sums may reach"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(
    name: str, edit: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"layer '.*' is inconsistent: .*{words}"):
        change(BINARY, name, edit)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shift": 31}, "shift is not from 0 to 30"),
        ({"multiplier": np.full(9, 32767, np.int16)}, r"sum \* multiplier \+ bias may reach"),
        ({"bias": np.full(9, -(2**31), np.int32)}, r"sum \* multiplier \+ bias may reach"),
        ({"bias": np.zeros(8, np.int32)}, r"bias is int32 \(8,\)"),
    ],
)
def test_a_requantization_that_could_overflow(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"layer 'stem' is inconsistent: its .*{words}|{words}"):
        change(SHORTCUT, "stem", lambda x: replace(x, output=replace(x.output, **changes)))


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("stem", lambda x: replace(x, clip=None), "multiplier is int32 .* int16"),
        ("stem", lambda x: replace(x, dtype="int32"), "it writes int32"),
        ("stem", lambda x: clipped(x, reach=-1), "reach is below 0"),
        ("stem", lambda x: clipped(x, reach=2**30), r"sum \* multiplier \+ bias may reach"),
        ("stem", lambda x: clipped(x, offset=2**31 - 9), r"sum \+ offset may reach"),
        ("bytes", lambda x: replace(x, dtype="int16"), "needs a clip and no shortcut"),
        ("bytes", lambda x: replace(x, shortcut="last"), "needs a clip and no shortcut"),
        ("last", lambda x: replace(x, dtype="uint8"), "does not read a stream"),
    ],
)
def test_what_makes_no_bytes_is_named(name: str, edit: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"inconsistent: .*{words}"):
        change(EIGHT_BIT, name, lambda x: replace(x, output=edit(x.output)))


def clipped(stage: Requantize, **numbers: int) -> Requantize:
    """The stage with another number in all of its clip's offsets or reaches."""
    assert stage.clip is not None
    vectors = {key: np.full(12, number, np.int32) for key, number in numbers.items()}
    return replace(stage, clip=replace(stage.clip, **vectors))


def test_formats_of_bytes() -> None:
    formats = EIGHT_BIT.formats()
    assert formats["stem"] == Bytes((9, 7, 12), signed=False)
    assert (formats["end"].bottom, formats["end"].top) == (-127, 127)
    assert formats["pool"] == Counts((24,), limit=(5 * 4 * 127 + 2) >> 2)


def test_bytes_have_weights_of_8_bits_and_a_border_of_0() -> None:
    for changes, words in (
        ({"weight_bits": 4}, "on bytes its weights are 8 bits"),
        ({"padding_level": 1}, "bytes are padded with 0"),
    ):
        with pytest.raises(ValueError, match=words):
            change(EIGHT_BIT, "depthwise", lambda x, changes=changes: replace(x, **changes))


def test_a_shortcut_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"its shortcut is \(11, 9, 9\), its output \(6, 5, 9\)"):
        change(
            SHORTCUT,
            "block0.conv",
            lambda x: replace(x, output=replace(x.output, shortcut="stem")),
        )


def test_sums_of_mixed_networks_become_bytes() -> None:
    weight = np.ones((4, 1, 1, 2), np.int8)
    layer = Convolution("conv", "bytes", weight, 8, RESCALE, padding=1, padding_level=3)
    source = {"bytes": Image((3, 3, 2))}
    assert output_format(layer, source) == Image((5, 5, 4))
    for changes, words in (
        ({"bias": np.full(4, 2**31 - 1, np.int32)}, "sum [+] bias may reach"),
        ({"multiplier": np.full(4, np.inf, np.float32)}, "not finite"),
        ({"zero": 256}, "no bytes"),
        ({"low": 9, "high": 8}, "no bytes"),
    ):
        with pytest.raises(ValueError, match=words):
            output_format(replace(layer, output=replace(RESCALE, **changes)), source)
