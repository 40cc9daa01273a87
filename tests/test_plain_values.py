"""Plain values from foreign JSON."""

import pytest

from bitat_deploy.plain_values import strict_json


@pytest.mark.parametrize("text", ["[1e999]", "[-1e999]", "[NaN]", "[Infinity]", "[-Infinity]", "["])
def test_numbers_are_finite(text: str) -> None:
    with pytest.raises(ValueError, match=r"out of range|not JSON|Expecting"):
        strict_json(text)


def test_sound_values() -> None:
    assert strict_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
