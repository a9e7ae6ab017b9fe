"""Every call of both services with bytes as they are, and what may come of it.

A server that is sent nonsense says so: with a code that blames the request, in words that tell
nothing of its inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from anyres_proto.anyres.v1 import dense_prediction_pb2
from anyres_proto.inference import grpc_service_pb2

BLAMES_THE_REQUEST = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
# Files, modules, classes of errors, addresses: what only somebody with the source has use for.
INSIDE = re.compile(
    r"\.py\b|\.so\b|Traceback|\b[A-Z]\w*(Error|Exception)\b|\b0x[0-9a-f]{6,}|site-packages|"
    r"(?<![\w.])/(usr|tmp|home|root|work|opt|var|proc|sys)/|"
    r"\b(anyres_server|anyres_proto|google\.protobuf|onnxruntime|numpy|PIL|pyvips|grpc)\.\w|"
    r"<class '"
)
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Method:
    """One call of a service."""

    path: str
    request: type[Message]
    response: type[Message]
    streams: bool  # both ways: no call of these services streams one way only


@dataclass(frozen=True)
class Outcome:
    """How a call ended, and what was said on the way."""

    code: grpc.StatusCode
    words: str

    @property
    def fault(self) -> str | None:
        """What is wrong with it; None where nothing is."""
        if self.code not in BLAMES_THE_REQUEST:
            return f"{self.code.name}: {self.words}"
        if found := INSIDE.search(self.words):
            return f"{self.code.name} tells {found[0]!r}: {self.words}"
        return None


def methods() -> tuple[Method, ...]:
    """Every call of both services."""
    services: Sequence[Any] = (
        dense_prediction_pb2.DESCRIPTOR.services_by_name["DensePredictionService"],
        grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    )
    return tuple(_method(each) for service in services for each in service.methods)


def _method(found: MethodDescriptor) -> Method:
    kind: Any = found
    return Method(
        f"/{kind.containing_service.full_name}/{kind.name}",
        _class(kind.input_type),
        _class(kind.output_type),
        kind.client_streaming,
    )


def _class(descriptor: Descriptor) -> type[Message]:
    return GetMessageClass(descriptor)


def ask(channel: grpc.Channel, method: Method, messages: Sequence[bytes]) -> tuple[Outcome, ...]:
    """Send bytes as they are; how the call ended, and how each part of a stream did."""
    try:
        answers = list(_answers(channel, method, messages))
    except grpc.RpcError as error:
        return (Outcome(error.code(), error.details() or ""),)
    read = [method.response.FromString(answer) for answer in answers]
    return (Outcome(grpc.StatusCode.OK, ""), *(told for each in read for told in _told(each)))


def _answers(channel: grpc.Channel, method: Method, messages: Sequence[bytes]) -> Iterator[bytes]:
    call: Any
    if method.streams:
        call = channel.stream_stream(method.path)
        yield from call(iter(messages), timeout=PATIENCE_S)
    else:
        call = channel.unary_unary(method.path)
        yield call(messages[0], timeout=PATIENCE_S)


CODES = {code.value[0]: code for code in grpc.StatusCode}


def _told(answer: Any) -> Iterator[Outcome]:
    """What one answer of a stream says of a failure."""
    if isinstance(answer, dense_prediction_pb2.PredictStreamResponse) and answer.HasField(
        "failure"
    ):
        yield Outcome(CODES[answer.failure.code], answer.failure.message)
    if isinstance(answer, grpc_service_pb2.ModelStreamInferResponse) and answer.error_message:
        yield Outcome(grpc.StatusCode.INVALID_ARGUMENT, answer.error_message)
