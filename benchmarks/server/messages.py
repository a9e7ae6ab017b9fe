"""Messages that hypothesis makes of descriptors: whatever the wire can carry, likely or not.

Names are mostly ones that mean something, so that a message gets further than the first check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from PIL import Image

DEPTH = 4  # of messages in messages
WORDS = (
    *("", "1", "2", "FP32", "UINT8", "FP16", "BYTES", "BF16", "region", "config", "TIMESTAMPS"),
    *("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"),
    *("classification", "sequence_id", "priority", "timeout", "binary_data", "trace_level"),
    *("log_file", "log_verbose_level", "file:1/model.onnx", "unload_dependents"),
    *("/etc/passwd", "../../etc/passwd", "/anyres-hostile", "%s%n", "{0.__class__}", "*", "."),
    *("\x00", "a" * 5000, "ü"),
)
NUMBERS = (0, 1, 2, 3, 5, 8, 16, 255, 256, 2**31 - 1, 2**32 - 1, 2**53, 2**63 - 1)
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))


def _file(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@dataclass(frozen=True)
class Names:
    """What a server knows: names of models and tensors, and messages that it takes."""

    known: Sequence[str]
    good: Sequence[Message]


FILES = tuple(_file(kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"))
TENSOR = np.zeros((1, 3, 8, 8), "<f4").tobytes()
Field = FieldDescriptor
INTEGERS: dict[int, tuple[int, int]] = {
    **dict.fromkeys((Field.TYPE_INT32, Field.TYPE_SINT32, Field.TYPE_SFIXED32), (-(2**31), 2**31)),
    **dict.fromkeys((Field.TYPE_INT64, Field.TYPE_SINT64, Field.TYPE_SFIXED64), (-(2**63), 2**63)),
    **dict.fromkeys((Field.TYPE_UINT32, Field.TYPE_FIXED32), (0, 2**32)),
    **dict.fromkeys((Field.TYPE_UINT64, Field.TYPE_FIXED64), (0, 2**64)),
}


def messages(kind: type[Message], names: Names) -> st.SearchStrategy[bytes]:
    """Messages of a kind, good ones with one thing changed, and what a bad line makes of them."""
    descriptor: Any = kind.DESCRIPTOR
    made = _Maker(names).messages(descriptor, DEPTH)
    good = [each for each in names.good if isinstance(each, kind)]
    if good:
        changed = st.tuples(st.sampled_from(good), made, st.booleans()).map(_changed)
        made = st.one_of(made, changed, changed)
    whole = made.map(_serialized)
    return st.one_of(whole, whole, whole, st.binary(max_size=64), whole.flatmap(_damaged))


def _changed(parts: tuple[Message, Message, bool]) -> Message:
    """A good message with one field of another, or with all of them added."""
    good, other, merged = parts
    message: Any = type(good)()
    message.CopyFrom(good)
    for field, value in other.ListFields()[: None if merged else 1]:
        if not merged:
            message.ClearField(field.name)
        only: Any = type(good)()
        only.CopyFrom(other)
        for unused, _ in other.ListFields():
            if unused.name != field.name:
                only.ClearField(unused.name)
        assert value is not None
        message.MergeFrom(only)
    return message  # type: ignore[no-any-return]


def _damaged(message: bytes) -> st.SearchStrategy[bytes]:
    """Cut short, with a stretch overwritten, or with more behind it."""
    places = st.integers(0, len(message))
    return st.one_of(
        places.map(lambda end: message[:end]),
        st.tuples(places, st.binary(min_size=1, max_size=8)).map(
            lambda cut: message[: cut[0]] + cut[1] + message[cut[0] + len(cut[1]) :]
        ),
        st.binary(min_size=1, max_size=16).map(lambda more: message + more),
    )


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


@dataclass(frozen=True)
class _Maker:
    """Makes values for fields; a string is often a known name."""

    names: Names

    def messages(self, descriptor: Descriptor, depth: int) -> st.SearchStrategy[Message]:
        fields = [field for field in descriptor.fields if depth or field.message_type is None]
        chosen = st.fixed_dictionaries(
            {}, optional={field.name: self._field(field, depth) for field in fields}
        )
        return chosen.map(lambda values: _made(descriptor, values))

    def _field(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
        if field.message_type and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name
            keys, values = self._values(entry["key"], depth), self._values(entry["value"], depth)
            return st.dictionaries(keys, values, max_size=3)
        values = self._values(field, depth)
        return st.lists(values, max_size=4) if field.is_repeated else values

    def _values(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
        if field.message_type:
            return self.messages(field.message_type, depth - 1)
        if field.type == Field.TYPE_STRING:
            known = st.sampled_from(self.names.known)
            return st.one_of(known, known, st.sampled_from(WORDS), st.text(max_size=20))
        if field.type in INTEGERS:
            low, above = INTEGERS[field.type]
            likely = [number for n in NUMBERS for number in (n, -n) if low <= number < above]
            return st.sampled_from(likely) | st.integers(low, above - 1)
        return SCALARS[field.type]


SCALARS: dict[int, st.SearchStrategy[Any]] = {
    Field.TYPE_BYTES: st.sampled_from((*FILES, TENSOR, b"")) | st.binary(max_size=64),
    Field.TYPE_BOOL: st.booleans(),
    Field.TYPE_ENUM: st.integers(0, 9) | st.sampled_from((-1, 2**31 - 1)),
    Field.TYPE_FLOAT: st.sampled_from(FLOATS) | st.floats(width=32),
    Field.TYPE_DOUBLE: st.sampled_from(FLOATS) | st.floats(),
}


def _made(descriptor: Descriptor, values: dict[str, Any]) -> Message:
    message: Any = GetMessageClass(descriptor)()
    for name, value in values.items():
        if isinstance(value, dict):
            _fill(message, name, value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        elif isinstance(value, Message):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message  # type: ignore[no-any-return]


def _fill(message: Any, name: str, entries: dict[Any, Any]) -> None:
    for key, value in entries.items():
        if isinstance(value, Message):
            getattr(message, name)[key].CopyFrom(value)
        else:
            getattr(message, name)[key] = value
