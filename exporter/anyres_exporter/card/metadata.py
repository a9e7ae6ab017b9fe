"""The metadata of an ONNX file, written without touching anything else in the file.

A file is one protobuf message, a row of fields, and its metadata is one of them, repeated:

    ModelProto { 14: metadata_props { 1: key  2: value } }

Where it stands among the others means nothing. So every other field, the graph above all, is copied
byte for byte and never parsed, however large it is; weights in a file beside it stay where they
are. Source: protobuf.dev, "Encoding"; onnx.proto.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TypeAlias

import onnx

from anyres_exporter.errors import NotStamped

_METADATA = 14  # field number
_VARINT, _BYTES = 0, 2  # wire types
_FIXED = {1: 8, 5: 4}  # wire type: bytes
_CHUNK = 1 << 24  # bytes copied at a time

Span: TypeAlias = tuple[int, int]  # where a field begins and ends


def rewritten(
    source: Path, target: Path, entries: Mapping[str, str], without: Collection[str] = ()
) -> None:
    """Write a file again with these entries in its metadata, replacing those of the same key.

    Atomically: whoever reads `target`, which may be `source`, finds the old file or the new one.

    Args:
        source: an ONNX file.
        target: where to write; its folder is made if missing.
        entries: by key.
        without: keys of further entries that go.

    Raises:
        NotStamped: the file cannot be read, or nothing can be written there.
    """
    goes = {*entries, *without}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            new = onnx.ModelProto()
            onnx.helper.set_model_props(new, dict(entries))
            _write(file, _kept(content, goes), new.SerializeToString(), target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NotStamped(f"{target} cannot be written from {source}: {reason}") from error


def _write(source: IO[bytes], kept: Iterator[Span], new: bytes, target: Path) -> None:
    with NamedTemporaryFile(
        "wb", dir=target.parent, prefix=f".{target.name}.", suffix=".partial", delete=False
    ) as partial:
        try:
            for begin, end in kept:
                _copy(source, begin, end, partial)
            partial.write(new)
            partial.flush()
            os.fsync(partial.fileno())
            shutil.copymode(source.name, partial.name)
            Path(partial.name).replace(target)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise


def _copy(source: IO[bytes], begin: int, end: int, partial: IO[bytes]) -> None:
    """Read, not mapped: pages that were seen would count as our memory."""
    source.seek(begin)
    for start in range(begin, end, _CHUNK):
        partial.write(source.read(min(_CHUNK, end - start)))


def _kept(content: mmap, goes: set[str]) -> Iterator[Span]:
    """The spans of the fields that stay, in order."""
    position = 0
    while position < len(content):
        tag, begin = _varint(content, position)
        end = _end(content, tag & 7, begin)
        if end > len(content):
            raise ValueError("it ends in the middle of a field")
        if tag >> 3 != _METADATA or _key(content, begin, end) not in goes:
            yield position, end
        position = end


def _key(content: mmap, begin: int, end: int) -> str:
    entry = onnx.StringStringEntryProto()
    entry.ParseFromString(content[_varint(content, begin)[1] : end])
    return entry.key


def _end(content: mmap, wire_type: int, begin: int) -> int:
    if wire_type in _FIXED:
        return begin + _FIXED[wire_type]
    if wire_type not in (_VARINT, _BYTES):
        raise ValueError("it is no protobuf message")
    value, after = _varint(content, begin)
    return after + value * (wire_type == _BYTES)


def _varint(content: mmap, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it is no protobuf message")
