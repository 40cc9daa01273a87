"""What a message may contain, whatever a file or a device put into it."""

from bitat_deploy.errors import InputError


def test_control_characters_are_escaped() -> None:
    assert str(InputError("key '\x1b[2J' is unknown")) == "key '\\x1b[2J' is unknown"


def test_a_long_message_keeps_both_ends() -> None:
    message = str(InputError(f"'{'9' * 100_000}' is no key; mend it"))
    assert len(message) < 2100
    assert message.startswith("'999") and message.endswith("999' is no key; mend it")
