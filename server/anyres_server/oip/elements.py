"""The elements of one input, however they come: raw, one by one, or in shared memory.

Raw and shared elements are little-endian, row-major and without gaps; an element of BYTES has its
length before it, as a 32-bit integer. Counts are compared before anything is converted, so that a
shape which promises more than was sent costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array
from anyres_server.oip.datatypes import Datatype
from anyres_server.oip.shared_memory import Window
from anyres_server.oip.shown import quoted

Tensor: TypeAlias = pb.ModelInferRequest.InferInputTensor
LENGTH = np.dtype("<u4")  # before each element of BYTES


@dataclass(frozen=True, eq=False)
class Elements:
    """One input of a request, and where its elements are."""

    tensor: Tensor
    count: int  # by its shape
    raw: bytes | None
    window: Window | None

    def numbers(self, datatype: Datatype) -> Callable[[], Array]:
        """How to get them, in one row; the count is right.

        Raises:
            InvalidRequest: it is not, or they come in a field of another type.
        """
        dtype = datatype.dtype
        if self.window is None and self.raw is None:
            return partial(_converted, self._listed(datatype), datatype, self.count)
        needed = self.count * dtype.itemsize
        self._check_bytes(needed, datatype.name)
        if window := self.window:
            return lambda: window.read(needed).view(dtype)
        return lambda: np.frombuffer(self.raw or b"", dtype)

    def files(self) -> Callable[[], tuple[bytes, ...]]:
        """How to get elements of BYTES.

        Raises:
            InvalidRequest: there are more or fewer than the shape says.
        """
        if window := self.window:
            return lambda: self._split(window.read(window.byte_size).data, end=False)
        if (raw := self.raw) is not None:
            return lambda: self._split(memoryview(raw), end=True)
        given = self._field("bytes_contents", "BYTES")
        if len(given) != self.count:
            raise self._wrong_count(len(given))
        return lambda: tuple(given)

    def _split(self, data: memoryview, *, end: bool) -> tuple[bytes, ...]:
        """The elements of a row; whether it must end with the last of them."""
        found = tuple(islice(_elements(data), self.count))
        taken = sum(map(len, found)) + len(found) * LENGTH.itemsize
        if len(found) < self.count:
            raise self._wrong_count(len(found))
        if end and taken < len(data):
            raise InvalidRequest(
                f"input {quoted(self.tensor.name)} has {self.count} elements by its shape; "
                f"{len(data) - taken} bytes follow the last one"
            )
        return found

    def _check_bytes(self, needed: int, name: str) -> None:
        got = self.window.byte_size if self.window else len(self.raw or b"")
        if got != needed:
            raise InvalidRequest(
                f"input {quoted(self.tensor.name)} needs {self.count} elements by its shape, "
                f"{needed} bytes of {name}; got {got} bytes"
            )

    def _listed(self, datatype: Datatype) -> Any:
        if datatype.field is None:
            raise InvalidRequest(f"an input of {datatype.name} comes raw, in raw_input_contents")
        given = self._field(datatype.field, datatype.name)
        if len(given) != self.count:
            raise self._wrong_count(len(given))
        return given

    def _field(self, field: str, name: str) -> Any:
        wrong = [given.name for given, _ in self.tensor.contents.ListFields()]
        if wrong and wrong != [field]:
            other = next(each for each in wrong if each != field)
            raise InvalidRequest(f"an input of {name} comes in {field}; got {other}")
        return getattr(self.tensor.contents, field)

    def _wrong_count(self, got: int) -> InvalidRequest:
        return InvalidRequest(
            f"input {quoted(self.tensor.name)} needs {self.count} elements by its shape; got {got}"
        )


def _elements(data: memoryview) -> Iterator[bytes]:
    at = 0
    while at + LENGTH.itemsize <= len(data):
        start = at + LENGTH.itemsize
        at = start + int.from_bytes(data[at:start], "little")
        if at > len(data):
            raise InvalidRequest(
                f"an element of BYTES says that it has {at - start} bytes; "
                f"{len(data) - start} are left"
            )
        yield bytes(data[start:at])


def _converted(numbers: Any, datatype: Datatype, count: int) -> Array:
    """Numbers of a list; bytes come as wider ones on the wire."""
    if datatype.dtype != np.uint8:
        return np.fromiter(numbers, datatype.dtype, count)
    wide = np.fromiter(numbers, np.uint32, count)
    if wide.max() > 255:
        raise InvalidRequest(f"an input of {datatype.name} holds 0 to 255; got {wide.max()}")
    return wide.astype(np.uint8)
