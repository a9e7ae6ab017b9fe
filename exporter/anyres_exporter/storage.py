"""A graph as a message, its weights in a file of their own where they would not fit.

A protobuf message ends at 2 GiB. Weights that lie apart are in one file, named by what is in it,
each where memory may be mapped. A graph that is as large as that is never serialized or copied
whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, helper, numpy_helper

EXTERNAL_ABOVE = (1 << 31) - (1 << 26)  # bytes of weights; the rest of 2 GiB is for the nodes
_INLINE = 1 << 10  # bytes; what steers shapes is smaller, and every reader wants it at hand
_PAGE = 1 << 12  # bytes; a weight begins where memory may be mapped
DIGITS = 16
_NUMBERS = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data")

AnyMessage = TypeVar("AnyMessage", bound=Message)


def stored(
    graph: ModelProto,
    path: Path,
    metadata: Mapping[str, str] | None = None,
    *,
    external_above: int = EXTERNAL_ABOVE,
) -> tuple[ModelProto, Path | None]:
    """What is to be written at `path`, and the file of weights beside it, if there has to be one.

    Args:
        graph: is left as it is.
        path: of the message; the weights are written beside it here.
        metadata: in place of the graph's own.
        external_above: bytes of weights from which they lie in a file of their own.
    """
    message = _without(graph, {"graph", "metadata_props"})
    helper.set_model_props(message, dict(metadata or {}))
    if not is_larger(graph, external_above):
        message.graph.CopyFrom(graph.graph)
        return message, None
    message.graph.CopyFrom(_without(graph.graph, {"initializer"}))
    weights = _written(graph.graph.initializer, path)
    for tensor in graph.graph.initializer:
        message.graph.initializer.append(_reference(tensor, weights))
    return message, weights.path


def is_larger(graph: ModelProto, limit: int = EXTERNAL_ABOVE) -> bool:
    """Whether a graph's weights are more bytes than that."""
    return sum(map(_size, graph.graph.initializer)) > limit


@dataclass(frozen=True)
class _Weights:
    """A file of weights, and where in it each begins and how long it is, in bytes."""

    path: Path
    spans: Mapping[str, tuple[int, int]]


def _written(tensors: Iterable[TensorProto], path: Path) -> _Weights:
    """The large tensors one after the other, in a file that is named by its content."""
    partial = path.with_name(f".{path.stem}.data.partial")
    digest = hashlib.sha256()
    spans: dict[str, tuple[int, int]] = {}
    with partial.open("wb") as file:
        for tensor in filter(_lies_apart, tensors):
            gap, content = bytes(-file.tell() % _PAGE), _content(tensor)
            spans[tensor.name] = file.tell() + len(gap), len(content)
            for piece in (gap, content):
                digest.update(piece)
                file.write(piece)
    target = path.with_name(f"{path.stem}.{digest.hexdigest()[:DIGITS]}.data")
    return _Weights(partial.replace(target), spans)


def _reference(tensor: TensorProto, weights: _Weights) -> TensorProto:
    """A tensor as the graph names it: where its numbers lie, or a small one itself."""
    if tensor.name not in weights.spans:
        return tensor
    offset, length = weights.spans[tensor.name]
    reference = _without(tensor, set(_NUMBERS))
    reference.data_location = TensorProto.EXTERNAL
    where = {"location": weights.path.name, "offset": str(offset), "length": str(length)}
    for key, value in where.items():
        reference.external_data.add(key=key, value=value)
    return reference


def _lies_apart(tensor: TensorProto) -> bool:
    return tensor.data_type != TensorProto.STRING and _size(tensor) >= _INLINE


def _size(tensor: TensorProto) -> int:
    """Bytes of its numbers, by its shape; those of less than a byte are counted as one."""
    return prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _content(tensor: TensorProto) -> bytes:
    """Its numbers, little-endian."""
    if tensor.HasField("raw_data"):
        return tensor.raw_data
    return numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data


def _without(message: AnyMessage, fields: Collection[str]) -> AnyMessage:
    """A copy that never holds what is left out; a message beyond 2 GiB cannot be copied whole."""
    copy = type(message)()
    for descriptor, value in message.ListFields():
        if descriptor.name in fields:
            continue
        if isinstance(value, Message):
            getattr(copy, descriptor.name).CopyFrom(value)
        elif isinstance(value, str | bytes | int | float):
            setattr(copy, descriptor.name, value)
        else:
            getattr(copy, descriptor.name).extend(value)
    return copy
