import numpy as np
import pytest

from bitat_deploy.network import (
    pack_bits,
    pack_codes,
    packed_bytes,
    unpack_bits,
    unpack_codes,
)


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 16, 130])
def test_unpacking_inverts_packing_and_spare_bits_are_zero(channels: int) -> None:
    bits = np.random.default_rng(channels).integers(0, 2, (3, 2, channels))
    packed = pack_bits(bits)
    assert packed.shape == (3, 2, packed_bytes(channels))
    assert np.array_equal(unpack_bits(packed, channels), bits)
    assert not unpack_bits(packed, 8 * packed.shape[-1])[..., channels:].any()


def test_channel_zero_is_the_lowest_bit_of_the_first_byte() -> None:
    assert pack_bits(np.array([1, 1, 0, 0, 0, 0, 0, 0, 1])).tolist() == [0b11, 0b1]


def test_codes_are_packed_plane_by_plane() -> None:
    codes = np.array([[0, 1, 2, 3, 0, 0, 0, 0, 2]])
    packed = pack_codes(codes, 2)
    assert packed.tolist() == [[0b00001010, 0, 0b00001100, 1]]
    assert unpack_codes(packed, 9, 2).tolist() == codes.tolist()
