"""What each processor has for products of narrow integers."""

from dataclasses import replace

import pytest

from bitat_deploy.operators.narrow_products import NarrowProducts
from bitat_deploy.target import load_target


@pytest.mark.parametrize(
    ("name", "values", "dtype", "chain"),
    [("x86-64-avx2", 2, "int16", 1), ("rpi4", 2, "int8", 2), ("rpi5", 4, "int8", 1)],
)
def test_values_of_an_instruction(name: str, values: int, dtype: str, chain: int) -> None:
    products = NarrowProducts(load_target(name))
    assert (products.values, products.dtype) == (values, dtype)
    assert products.chain(127 * 127) == chain  # two such products fit into int16, three do not


def test_avx_vnni_takes_four_values() -> None:
    avx2 = load_target("x86-64-avx2")
    products = NarrowProducts(replace(avx2, features=("+avxvnni",)))
    assert (products.values, products.dtype, products.lanes) == (4, "uint8", 8)


def test_codes_on_avx2_are_added_in_pairs() -> None:
    products = NarrowProducts(load_target("x86-64-avx2"), small=True)
    assert (products.values, products.dtype, products.weight_dtype) == (4, "uint8", "int8")
    assert products.chain(128 * 30) == 4
    assert products.chain(128 * 60) == 2
