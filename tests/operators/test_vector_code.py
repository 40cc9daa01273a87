"""What a target's instructions are taken for."""

from dataclasses import replace

from bitat_deploy.operators.vector_code import has_dot_product, sharing_threads
from bitat_deploy.target import load_target


def test_dot_products_need_wide_vectors_and_the_instruction() -> None:
    wide = replace(load_target("x86-64-avx512"), features=("+avx512vnni",))
    assert has_dot_product(wide)
    assert not has_dot_product(replace(wide, vector_bytes=32))
    assert not has_dot_product(replace(wide, features=()))


def test_small_layers_are_not_shared() -> None:
    target = replace(load_target("rpi4"), cores=4)
    assert sharing_threads(target, 10**6) == 4
    assert sharing_threads(target, 1000) == 1
    assert sharing_threads(target, 2 * 2048) == 2
    assert sharing_threads(replace(target, cores=1), 10**6) == 1
