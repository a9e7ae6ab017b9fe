"""Where a tensor's numbers lie, and how to read one tensor of them without keeping it.

Weights are not loaded: a tensor is known by its shape and type, and by the bytes of a file that
hold its numbers. Those bytes are either in the model file itself or in a file beside it ("external
data"). A model names that file, and models come from strangers, so only a regular file inside the
model's own folder is ever opened: no absolute path, no `..`, no link that leads out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

from anyres_analyzer.errors import NotAModel, OutsideFolder

_PACKED_BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}


class Stored(Protocol):
    """The numbers of one tensor."""

    def read(self) -> NDArray[Any]:
        """A fresh array of the tensor's shape.

        Raises:
            NotAModel: what is stored does not fill the shape.
        """
        ...


@dataclass(frozen=True)
class Inline:
    """Numbers inside a tensor's own message."""

    proto: TensorProto

    def read(self) -> NDArray[Any]:
        """A fresh array of the tensor's shape."""
        return _array(self.proto)


@dataclass(frozen=True)
class Filled:
    """One number everywhere, as files have it whose weights were taken out."""

    shape: tuple[int, ...]
    number: NDArray[Any]

    def read(self) -> NDArray[Any]:
        """A fresh array of the tensor's shape."""
        return np.full(self.shape, self.number)


@dataclass(frozen=True)
class Sparse:
    """Numbers at some positions, zeros elsewhere."""

    proto: SparseTensorProto

    def read(self) -> NDArray[Any]:
        """The dense array."""
        values, indices = _array(self.proto.values), _array(self.proto.indices)
        shape, name = tuple(self.proto.dims), self.proto.values.name
        dense = np.zeros(shape, values.dtype)
        try:
            if indices.ndim == 2:
                dense[tuple(indices.T)] = values
            else:
                dense.reshape(-1)[indices] = values
        except (IndexError, ValueError) as error:
            raise NotAModel(f"sparse tensor '{name}' has positions outside {shape}") from error
        return dense


@dataclass(frozen=True)
class Apart:
    """Numbers in `length` bytes of a file, from `offset` on."""

    path: Path
    offset: int
    length: int
    shape: tuple[int, ...]
    elem_type: int
    name: str

    def read(self) -> NDArray[Any]:
        """A fresh array, read from the file now."""
        proto = TensorProto(name=self.name, dims=self.shape, data_type=self.elem_type)
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                proto.raw_data = file.read(self.length)
        except OSError as error:
            raise NotAModel(f"tensor '{self.name}' in {self.path}: {error.strerror}") from error
        return _array(proto)


def _array(proto: TensorProto) -> NDArray[Any]:
    if proto.data_location == TensorProto.EXTERNAL:  # onnx would open whatever it names
        raise NotAModel(f"tensor '{proto.name}' lies in external data where none may be")
    try:
        return numpy_helper.to_array(proto)
    except (ValueError, TypeError, KeyError) as error:
        kind, shape = type_name(proto.data_type), tuple(proto.dims)
        raise NotAModel(
            f"tensor '{proto.name}' does not hold the numbers that {kind}{list(shape)} needs"
        ) from error


def type_name(elem_type: int) -> str:
    """An element type as ONNX's text form writes it: "float", "int64"."""
    return TensorProto.DataType.Name(TensorProto.DataType.ValueType(elem_type)).lower()


def bytes_needed(shape: tuple[int, ...], elem_type: int) -> int:
    """What a tensor takes in a file; types of less than a byte are packed."""
    name = TensorProto.DataType.Name(TensorProto.DataType.ValueType(elem_type))
    bits = _PACKED_BITS.get(name) or 8 * helper.tensor_dtype_to_np_dtype(elem_type).itemsize
    return -(-prod(shape) * int(bits) // 8)


class Folder:
    """A model's folder, and which of the files that its tensors name are missing there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Path | None] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The files that tensors named and that are not there."""
        return tuple(location for location, path in self._found.items() if path is None)

    def stored(self, tensor: TensorProto) -> Apart | None:
        """Where an external tensor's numbers lie; None where its file is not there.

        Raises:
            OutsideFolder: it names a file outside the folder.
            NotAModel: it names none, or the file is too short.
        """
        entries = {entry.key: entry.value for entry in tensor.external_data}
        shape = tuple(tensor.dims)
        needed = bytes_needed(shape, tensor.data_type)
        path = self._file(tensor.name, entries.get("location", ""))
        offset = _count(tensor.name, "offset", entries.get("offset", "0"))
        length = _count(tensor.name, "length", entries.get("length", str(needed)))
        if length != needed:
            raise NotAModel(
                f"tensor '{tensor.name}' declares {length} bytes of external data, "
                f"its shape {list(shape)} needs {needed}"
            )
        if path is None:
            return None
        size = path.stat().st_size
        if offset + length > size:
            raise NotAModel(
                f"tensor '{tensor.name}' needs bytes {offset} to {offset + length} of external "
                f"data '{entries['location']}', which is {size} bytes long"
            )
        return Apart(path, offset, length, shape, tensor.data_type, tensor.name)

    def _file(self, tensor: str, location: str) -> Path | None:
        if location not in self._found:
            self._found[location] = self._inside(tensor, location)
        return self._found[location]

    def _inside(self, tensor: str, location: str) -> Path | None:
        named = PurePosixPath(location)
        if not location:
            raise NotAModel(f"tensor '{tensor}' lies in external data that names no file")
        try:
            home, path = self._path.resolve(), (self._path / named).resolve()
            leads_out = not path.is_relative_to(home)
            if named.is_absolute() or ".." in named.parts or leads_out:
                raise OutsideFolder(
                    f"tensor '{tensor}' lies in external data '{location}', outside the model's "
                    "folder; no file there is opened"
                )
            if path.exists() and not path.is_file():
                raise NotAModel(f"tensor '{tensor}': external data '{location}' is no file")
            return path if path.is_file() else None
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL, too long
            raise NotAModel(
                f"tensor '{tensor}' lies in external data {location!r}, which names no file"
            ) from error


def _count(tensor: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise NotAModel(
            f"tensor '{tensor}': {key} of external data is {text!r}, no number of bytes"
        )
    return int(text)
