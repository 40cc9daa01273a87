import numpy as np
import pytest

from bitat_deploy.network import pack_bits, packed_bytes, unpack_bits


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 16, 130])
def test_unpacking_inverts_packing_and_spare_bits_are_zero(channels: int) -> None:
    bits = np.random.default_rng(channels).integers(0, 2, (3, 2, channels))
    packed = pack_bits(bits)
    assert packed.shape == (3, 2, packed_bytes(channels))
    assert np.array_equal(unpack_bits(packed, channels), bits)
    assert not unpack_bits(packed, 8 * packed.shape[-1])[..., channels:].any()


def test_channel_zero_is_the_lowest_bit_of_the_first_byte() -> None:
    assert pack_bits(np.array([1, 1, 0, 0, 0, 0, 0, 0, 1])).tolist() == [0b11, 0b1]
