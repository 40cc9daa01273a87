"""Mutations of valid files: single bytes, values in JSON, fields in protocol buffers, UTF-8."""

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

Mutation = Callable[[bytes, random.Random], bytes]

_TOKENS = (
    *(b"[", b"{", b"}", b'"', b"'", b"- ", b": ", b"\n", b"*a", b"&a ", b"<<: ", b"!!int ", b"~"),
    *(
        b"../",
        b"/",
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"1e999",
        b"NaN",
        b"-1",
        b"true",
    ),
    *(b"9" * 5000, b"[" * 2000, b"A" * 300, b"2001-99-99", b"null"),
)
_INTEGERS = (0, 1, -1, 2, 3, 7, 8, 255, 256, 16384, 2**31 - 1, -(2**31), 2**31, 2**62, -(2**63))
_TEXTS = ("", "x", "..", "../x", "/etc/passwd", "\x00", "\x1b[2J", "a" * 300, "é", "%s", "~nobody2")


def mutate_bytes(content: bytes, source: random.Random) -> bytes:
    """Change, remove, repeat or insert bytes at up to four places."""
    result = bytearray(spoil_text(content, source) if source.random() < 0.1 else content)
    for _ in range(source.randint(1, 4)):
        start = source.randint(0, len(result))
        end = min(start + source.choice((0, 1, 1, 2, 8, 64)), len(result))
        piece = source.choice((b"", source.randbytes(1), result[start:end] * 2, *_TOKENS))
        result[start:end] = piece
    return bytes(result)


def spoil_text(content: bytes, source: random.Random) -> bytes:
    """Put a byte that makes it invalid UTF-8 into a word, whose length stays."""
    words = list(re.finditer(rb"[A-Za-z_/.-]{3,}", content))
    if not words:
        return content
    place = source.randrange(*source.choice(words).span())
    spoilt = source.choice((b"\xff", b"\xc0", b"\x80", b"\xed"))
    return content[:place] + spoilt + content[place + 1 :]


def mutate_json(content: bytes, source: random.Random) -> bytes:
    """Replace, remove or add one value; bytes where ``content`` is not JSON."""
    try:
        document = {"": json.loads(content)}
    except (ValueError, RecursionError):
        return mutate_bytes(content, source)
    parent: Any = document
    key: Any = ""
    while isinstance(parent[key], dict | list) and parent[key] and source.random() < 0.8:
        parent = parent[key]
        key = source.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    values = (*_INTEGERS, *_TEXTS, None, True, 0.5, -0.0, 1e308, 10**40, [], {}, [[]])
    action = source.choice(("replace", "replace", "replace", "remove", "add", "repeat"))
    if action == "replace" or parent is document:
        parent[key] = source.choice(values)
    elif action == "remove":
        del parent[key]
    elif isinstance(parent, dict):
        parent[source.choice(_TEXTS)] = copy.deepcopy(parent[key])
    else:
        parent.append(copy.deepcopy(parent[key]))
    changed = json.dumps(document.get("")).encode()
    return spoil_text(changed, source) if source.random() < 0.05 else changed


def mutate_onnx(content: bytes, source: random.Random) -> bytes:
    """Change one field of the model, wherever it is; bytes where ``content`` is no ONNX."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return mutate_bytes(content, source)
    for _ in range(source.randint(1, 2)):
        # Half of the changes to what the importer reads, rather than to the functions' bodies.
        _mutate_message(model if source.random() < 0.5 else model.graph, source)
    changed = bytes(model.SerializeToString())
    return spoil_text(changed, source) if source.random() < 0.1 else changed


def _mutate_message(message: Message, source: random.Random) -> None:
    fields = [field for field, _ in message.ListFields()]
    if not fields or source.random() < 0.05:
        fields = list(message.DESCRIPTOR.fields)
    field = source.choice(fields)
    value = getattr(message, field.name)
    if field.is_repeated:
        if len(value) == 0:
            return
        index = source.randrange(len(value))
        action = source.random()
        if action < 0.1:
            del value[index]
        elif action < 0.15:
            value.append(value[index])
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            _mutate_message(value[index], source)
        else:
            value[index] = _other_value(field, value[index], source)
    elif source.random() < 0.05:
        message.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        _mutate_message(value, source)
    else:
        setattr(message, field.name, _other_value(field, value, source))


def _other_value(field: FieldDescriptor, value: Any, source: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return source.choice(_TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return mutate_bytes(value, source)
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return source.choice((0.0, -1.0, float("nan"), float("inf"), 1e-40, 3e38))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return source.choice([entry.number for entry in field.enum_type.values])
    highest = 2**31 - 1 if field.type == FieldDescriptor.TYPE_INT32 else 2**63 - 1
    near = (value + 1, value - 1)
    return source.choice([number for number in (*near, *_INTEGERS) if abs(number) <= highest])
