"""Foreign text becomes one printable line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitat_deploy.plain_text import as_file_name, foreign_text, is_name, message_lines


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Raspberry Pi 4 Model B Rev 1.5", "Raspberry Pi 4 Model B Rev 1.5"),
        ("", ""),
        (" \n\t ", ""),
        ("\x1b]52;c;cm0gLXJmIH4=\x07", "]52;c;cm0gLXJmIH4="),
        ("a\x1b[2Jb\x9b31mc", "a[2Jb31mc"),
        ("one\r\ntwo\x0b\x85three\u2028four\u2029five", "one two three four five"),
        ("a\u202eb\u2066c\u200bd\ufefff\xad", "abcdf"),
        ("nul\x00 del\x7f", "nul del"),
        ("lone \ud800 surrogate, unassigned \u0378", "lone surrogate, unassigned"),
        ("Größe 模型 🙂", "Größe 模型 🙂"),
        ("[bold]:smile:[/x]", "[bold]:smile:[/x]"),  # a renderer's matter
    ],
)
def test_what_is_left(text: str, plain: str) -> None:
    assert foreign_text(text) == plain


def test_length() -> None:
    assert foreign_text("a" * 200) == "a" * 200
    assert foreign_text("a" * 201) == "a" * 197 + "..."
    assert foreign_text("aaaa bbbb", limit=8) == "aaaa..."
    assert foreign_text("\x1b" * 1000 + "a") == "a"


@given(st.text(st.characters(), max_size=60), st.integers(10, 40))
def test_any_text(text: str, limit: int) -> None:
    plain = foreign_text(text, limit)
    assert len(plain) <= limit
    assert {unicodedata.category(c)[0] for c in plain if c != " "} <= set("LMNPS")
    assert plain == " ".join(plain.split())
    assert foreign_text(plain, limit) == plain
    plain.encode()


def test_file_name() -> None:
    assert as_file_name("../a b/c-host") == "a-b-c-host"
    assert as_file_name("///") == "model"
    assert len(as_file_name("a" * 1000)) == 150


@pytest.mark.parametrize("name", ["rpi4", "x86-64-avx2", "A.b_c-1", "a" * 100])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../a", "a/b", "-rf", ".a", "a b", "a\n", "ä", "a\x1b", "a" * 101]
)
def test_no_names(text: str) -> None:
    assert not is_name(text)


def test_lines_of_a_message() -> None:
    assert message_lines(ValueError(" first\n\tsecond\n")) == ["first", "\tsecond"]
    assert message_lines(ValueError(" \n")) == message_lines(ValueError()) == ["ValueError"]
