"""Messages with arrays in them, put together as they travel, so that what is large is copied once.

protobuf copies bytes when a field is set and again when the message is serialized. On the wire a
message is its fields, one behind the other, in any order: so the small ones are serialized as ever,
and the large ones are laid behind them.
"""

from __future__ import annotations

from typing import TypeAlias

Part: TypeAlias = bytes | memoryview  # of bytes

LENGTH_DELIMITED = 2  # the wire type of bytes and of messages
MORE = 0x80  # the bit of a varint's byte that others follow


def field(number: int, *parts: Part) -> tuple[Part, ...]:
    """A field that is bytes or a message: its tag, its length, and the parts of its content."""
    tag = _varint(number << 3 | LENGTH_DELIMITED)
    return tag + _varint(sum(map(len, parts))), *parts


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    written = bytearray()
    while number >= MORE:
        written.append(number % MORE | MORE)
        number //= MORE
    written.append(number)
    return bytes(written)
