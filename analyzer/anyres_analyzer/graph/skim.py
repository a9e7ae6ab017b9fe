"""An ONNX file without its weights: everything is parsed but the bytes of large initializers.

A model file is one protobuf message, so its weights cannot be parsed around; parsing hundreds of
megabytes takes twice that in memory. But the wire format says how long each field is, and the way
to the weights is short:

    ModelProto { 7: graph { 5: initializer { 9: raw_data } } }

So the file is mapped, the large `raw_data` fields are stepped over and remembered as spans of the
file, and what is left, little, is given to protobuf. Source: protobuf.dev, "Encoding"; onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import onnx
from google.protobuf.message import DecodeError

from anyres_analyzer.errors import NotAModel

KEPT_BYTES = 16 * 1024  # raw data up to this is parsed with the rest: 1024 of the widest elements
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers
_VARINT, _BYTES = 0, 2  # wire types
_FIXED = {1: 8, 5: 4}  # wire type: bytes


class Span(NamedTuple):
    """Bytes of a file."""

    begin: int
    end: int


@dataclass(frozen=True)
class Skimmed:
    """A model, and by tensor name the spans of the file that its large initializers lie in."""

    model: onnx.ModelProto
    spans: dict[str, Span] = field(default_factory=dict)


class _Field(NamedTuple):
    number: int
    whole: Span
    content: Span  # without tag and length


def skimmed(path: Path) -> Skimmed:
    """The model in a file.

    Raises:
        NotAModel: there is no such file, or it is no ONNX model.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise NotAModel(f"{path} is no regular file")
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise NotAModel(f"{path} is not an ONNX model: it is empty")
            with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
                return _parsed(content)
    except (OSError, ValueError) as error:
        raise NotAModel(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except (DecodeError, _Malformed) as error:
        raise NotAModel(
            f"{path} is not an ONNX model: it is truncated or something else"
        ) from error


class _Malformed(Exception):
    """No sequence of fields."""


def _parsed(content: mmap) -> Skimmed:
    skim = Skimmed(onnx.ModelProto())
    outside, inside = [], []
    for part in _fields(content, Span(0, len(content))):
        if part.number != _GRAPH:
            outside.append(content[slice(*part.whole)])
            continue
        for piece in _fields(content, part.content):
            if piece.number == _INITIALIZER:
                _keep(content, piece.content, skim)
            else:
                inside.append(content[slice(*piece.whole)])
    skim.model.MergeFromString(b"".join(outside))
    if inside:
        skim.model.graph.MergeFromString(b"".join(inside))
    return skim


def _keep(content: mmap, span: Span, skim: Skimmed) -> None:
    """One initializer, without its raw data where that is large."""
    kept, large = [], None
    for part in _fields(content, span):
        if part.number == _RAW_DATA and part.content.end - part.content.begin > KEPT_BYTES:
            large = part.content
        else:
            kept.append(content[slice(*part.whole)])
    tensor = skim.model.graph.initializer.add()
    tensor.MergeFromString(b"".join(kept))
    if large:
        skim.spans[tensor.name] = large


def _fields(content: mmap, span: Span) -> Iterator[_Field]:
    position = span.begin
    while position < span.end:
        tag, begin = _varint(content, position, span.end)
        end = _end(content, tag & 7, begin, span.end)
        if tag & 7 == _BYTES:
            begin = _varint(content, begin, span.end)[1]
        if end > span.end or tag < 8:
            raise _Malformed
        yield _Field(tag >> 3, Span(position, end), Span(begin, end))
        position = end


def _end(content: mmap, wire_type: int, begin: int, end: int) -> int:
    if wire_type in _FIXED:
        return begin + _FIXED[wire_type]
    if wire_type not in (_VARINT, _BYTES):
        raise _Malformed
    value, after = _varint(content, begin, end)
    return after + value * (wire_type == _BYTES)


def _varint(content: mmap, position: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Malformed
