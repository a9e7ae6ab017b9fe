"""A graph and its card become a file, whole or not at all.

A protobuf message ends at 2 GiB. Where the weights would not fit they lie in a file beside it,
named by what is in it, so that no graph is ever read with the weights of another:

    net.onnx ── net.3f9a61c2d07be845.data

The weights come first, then the graph takes the place of the one before in one step, then what only
that one used is removed. A reader finds the old pair, the new pair, or (for the moment in between,
when it has read the old graph and not yet opened its weights) an error; never a mixture.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeVar

import onnx
from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, helper, numpy_helper

from anyres_exporter.errors import NotExportable
from anyres_proto.card import METADATA_KEY, Card

EXTERNAL_ABOVE = (1 << 31) - (1 << 26)  # bytes of weights; the rest of 2 GiB is for the nodes
_INLINE = 1 << 10  # bytes; what steers shapes is smaller, and every reader wants it at hand
_PAGE = 1 << 12  # bytes; a weight begins where memory may be mapped
_DIGITS = 16
_NUMBERS = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data")

AnyMessage = TypeVar("AnyMessage", bound=Message)


def write(
    graph: ModelProto, card: Card, folder: Path, *, external_above: int = EXTERNAL_ABOVE
) -> Path:
    """Write `<folder>/<name>.onnx` with the card in its metadata, and return its path.

    Args:
        graph: is left as it is, and never serialized whole where its weights lie apart.
        card: the only metadata of the file.
        folder: made if missing.
        external_above: bytes of weights from which they lie in a file of their own.

    Raises:
        NotExportable: onnx's checker finds the graph wrong. No file is written or replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.onnx"
    partial = folder / f".{path.name}.partial"
    before = _weights_beside(path)
    message, weights = _message(graph, card, path, external_above)
    goes = {partial, *weights - before}
    try:
        partial.write_bytes(message.SerializeToString(deterministic=True))
        _check(partial, card.name)
        partial.replace(path)
        goes = before - weights
    finally:
        for each in goes:
            each.unlink(missing_ok=True)
    return path


def _message(
    graph: ModelProto, card: Card, path: Path, external_above: int
) -> tuple[ModelProto, set[Path]]:
    """What is to be written at `path`, and the file of weights beside it, if there is one."""
    message = _without(graph, {"graph", "metadata_props"})
    helper.set_model_props(message, {METADATA_KEY: card.model_dump_json()})
    if sum(map(_size, graph.graph.initializer)) <= external_above:
        message.graph.CopyFrom(graph.graph)
        return message, set()
    message.graph.CopyFrom(_without(graph.graph, {"initializer"}))
    weights = _written(graph.graph.initializer, path)
    for tensor in graph.graph.initializer:
        message.graph.initializer.append(_reference(tensor, weights))
    return message, {weights.path}


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
    target = path.with_name(f"{path.stem}.{digest.hexdigest()[:_DIGITS]}.data")
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


def _check(path: Path, name: str) -> None:
    """By path: onnx then looks for the weights beside it, and into none of them."""
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotExportable(f"the graph of '{name}' is not valid ONNX: {reason}") from error


def _weights_beside(path: Path) -> set[Path]:
    """Files of weights that were written for this graph, by this or an earlier export."""
    named = re.compile(rf"{re.escape(path.stem)}\.[0-9a-f]{{{_DIGITS}}}\.data")
    return {each for each in path.parent.iterdir() if named.fullmatch(each.name)}
