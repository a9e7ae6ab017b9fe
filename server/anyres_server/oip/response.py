"""What is told about images, as the protocol's answer: always raw, as stock clients read nothing
else, or written to shared memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anyres_proto.card import Output
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.packing import Part, field
from anyres_server.errors import InvalidRequest, NotANumber
from anyres_server.model import Array, Model
from anyres_server.oip import classification, datatypes, parameters
from anyres_server.oip.elements import LENGTH
from anyres_server.oip.shared_memory import Window
from anyres_server.oip.shown import quoted
from anyres_server.oip.wishes import Wish

RAW = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER


@dataclass(frozen=True, eq=False)
class Told:
    """One output of an answer."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: memoryview  # its elements as they travel
    window: Window | None


def numbers(wish: Wish, values: Array, name: str = "") -> Told:
    """Numbers (images, ...), under the name that they were asked for by, or another."""
    if wish.half and values.dtype == np.float32:
        with np.errstate(over="ignore"):  # what FP16 cannot hold is infinite in it
            values = values.astype(np.float16)
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    datatype = datatypes.datatype(values.dtype.name).name
    data = little.reshape(-1).view(np.uint8).data
    return Told(name or wish.name, datatype, values.shape, data, wish.window)


def strings(wish: Wish, elements: Sequence[bytes], shape: tuple[int, ...]) -> Told:
    """Elements of any length, each with its own before it."""
    parts = (part for each in elements for part in (_length(each), each))
    return Told(wish.name, datatypes.BYTES, shape, memoryview(b"".join(parts)), wish.window)


def classes(wish: Wish, values: Sequence[Array], model: Model) -> Told:
    """The best classes of images, of their scores (images, ...): a row of strings for each.

    Raises:
        NotANumber: there is none that is best.
    """
    last = isinstance(wish.source, Output) and wish.source.layout == "NHWC"
    scores = np.concatenate([classification.scores(each, channels_last=last) for each in values])
    if np.isnan(scores).any():
        raise NotANumber(f"model {model.name!r} gives NaN, so there are no best classes")
    rows = classification.best(scores, wish.classes, [each.name for each in model.card.classes])
    return strings(wish, [each for row in rows for each in row], (len(rows), len(rows[0])))


@dataclass(frozen=True, eq=False)
class Response:
    """An answer in two parts: all but its elements, and those, which stay where they are."""

    head: pb.ModelInferResponse
    raw: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The message, serialized but not yet put together."""
        return self.head.SerializeToString(), *(
            part for each in self.raw for part in field(RAW, each)
        )


def response(
    request: pb.ModelInferRequest,
    model: Model,
    told: Sequence[Told],
    said: Mapping[str, bool | int | str],
) -> Response:
    """The answer to a request; writes what belongs into shared memory.

    Raises:
        InvalidRequest: an output is larger than the shared memory that it was wanted in.
    """
    for each in told:
        _put(each)
    head = pb.ModelInferResponse(
        model_name=model.name,
        model_version=model.version,
        id=request.id,
        parameters={name: parameters.made(value) for name, value in said.items()},
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=each.name,
                datatype=each.datatype,
                shape=each.shape,
                parameters=_where(each) if each.window else None,
            )
            for each in told
        ],
    )
    return Response(head, tuple(b"" if each.window else each.data for each in told))


def _length(element: bytes) -> bytes:
    return len(element).to_bytes(LENGTH.itemsize, "little")


def _put(told: Told) -> None:
    window = told.window
    if window is None:
        return
    if window.byte_size < len(told.data):
        raise InvalidRequest(
            f"output {quoted(told.name)} takes {len(told.data)} bytes; "
            f"its part of shared memory has {window.byte_size}"
        )
    window.write(told.data)


def _where(told: Told) -> dict[str, pb.InferParameter]:
    assert told.window is not None
    where: dict[str, bool | int | str] = {
        "shared_memory_region": told.window.region.name,
        "shared_memory_byte_size": len(told.data),
        "shared_memory_offset": told.window.offset,
    }
    return {name: parameters.made(value) for name, value in where.items()}
