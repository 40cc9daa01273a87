"""What each processor has for products of narrow integers."""

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
