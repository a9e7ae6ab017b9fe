"""Servicers raise; this answers: a serving error with its code and its own words, anything else as
an internal error whose words stay in the log.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from inspect import isasyncgenfunction
from typing import Any, TypeAlias

import grpc
import grpc.aio

from anyres_proto.errors import WireError
from anyres_proto.status import Problem
from anyres_server.errors import ServingError

log = logging.getLogger(__name__)

# Quoted: these are generic in types-grpcio but not at run time.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

INTERNAL = "internal error; the server's log says more"


@dataclass(frozen=True)
class Answer:
    """What a caller is told about an error."""

    problem: Problem
    message: str


def answer_to(error: Exception, method: str) -> Answer:
    """What to tell the caller; logs what nobody expected, with its traceback."""
    match error:
        case ServingError() | WireError():
            return Answer(error.problem, str(error))
        case NotImplementedError():  # raised by the stubs where a servicer overrides nothing
            return Answer(Problem.UNIMPLEMENTED, f"{method} is not served")
        case _:
            log.error("%s failed", method, exc_info=error)
            return Answer(Problem.FAILED, INTERNAL)


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Lets servicers raise and never touch a status code, in every kind of call."""

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the method that was called for."""
        handler = await continuation(details)
        if handler is None:
            return None
        kind = _kind(handler)
        inner = getattr(handler, kind)
        guard = _guarded_stream if isasyncgenfunction(inner) else _guarded
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        wrapped: Handler = make(
            guard(inner, details.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped


def _kind(handler: Handler) -> str:
    into = "stream" if handler.request_streaming else "unary"
    out = "stream" if handler.response_streaming else "unary"
    return f"{into}_{out}"


def _guarded(inner: Any, method: str) -> Callable[[Any, Context], Awaitable[Any]]:
    async def guarded(request: Any, context: Context) -> Any:
        try:
            return await inner(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer
            answer = answer_to(error, method)
            await context.abort(answer.problem.code, answer.message)

    return guarded


def _guarded_stream(inner: Any, method: str) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for response in inner(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer
            answer = answer_to(error, method)
            await context.abort(answer.problem.code, answer.message)

    return guarded
