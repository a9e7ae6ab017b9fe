"""Servicers raise; this answers: a serving error with its code and its own words, anything else as
an internal error whose words stay in the log. Every error is told of as `Refused`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeAlias, TypeVar

import grpc.aio

from anyres_proto.errors import WireError
from anyres_proto.status import Problem
from anyres_server.errors import ModelNotFound, Overloaded, ServingError
from anyres_server.observe.asked import asked
from anyres_server.observe.events import Refused
from anyres_server.rpc.access import CALLER
from anyres_server.rpc.tokens import ALL

log = logging.getLogger(__name__)

T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

INTERNAL = "internal error; the server's log says more"
LONGEST_MESSAGE = 1500  # characters: it travels in a header, and clients take 8 KiB of those
RETRY = "grpc-retry-pushback-ms"


@dataclass(frozen=True)
class Answer:
    """What a caller is told about an error."""

    problem: Problem
    message: str


def answer_to(error: Exception, call: str) -> Answer:
    """What to tell the caller; tells of it, and logs what nobody expected, with its traceback."""
    answer = _answer(error, call)
    request = asked()
    if request is not None:
        reason = type(error).__name__ if isinstance(error, ServingError) else answer.problem.name
        request.tell(Refused(call, request.model, answer.problem, reason, request.took_s))
    return answer


def _answer(error: Exception, call: str) -> Answer:
    caller = CALLER.get()
    match error:
        case ModelNotFound() if caller is not None and not caller.sees(ALL):
            theirs = ", ".join(caller.rights.models)
            return Answer(error.problem, f"no such model or version is here; yours are: {theirs}")
        case ServingError() | WireError():
            return Answer(error.problem, str(error))
        case NotImplementedError():  # raised by the stubs where a servicer overrides nothing
            return Answer(Problem.UNIMPLEMENTED, f"{call} is not served")
        case _:
            log.error("%s failed", call, exc_info=error)
            return Answer(Problem.FAILED, INTERNAL)


async def answered(call: str, context: Context, work: Callable[[], Awaitable[T]]) -> T:
    """What the work gives; an error of it ends the call with its code, and a hint when to retry.

    The call is ended when the error is forgotten: grpc.aio keeps what ended it, and by way of the
    frames that the error came through it would keep the picture too, until the garbage collector
    comes by.
    """
    try:
        return await work()
    except grpc.aio.AbortError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer
        first = _first(error)
        if isinstance(first, grpc.aio.InternalError):
            raise _left() from None
        answer, hints = answer_to(first, call), _hints(first)
        del first
    message = answer.message[:LONGEST_MESSAGE]
    trailing = (*(context.trailing_metadata() or ()), *hints)
    try:
        return await context.abort(answer.problem.code, message, trailing)
    except grpc.aio.InternalError:
        raise _left() from None


def _left() -> asyncio.CancelledError:
    """What grpc.aio takes for a call that is over: there is nobody to write to any more."""
    return asyncio.CancelledError("the caller left")


def _first(error: Exception) -> Exception:
    """A stream's tasks fail together; what went wrong first says why."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _hints(error: Exception) -> tuple[tuple[str, str], ...]:
    """What gRPC's own retries heed: how long to wait."""
    if not isinstance(error, Overloaded):
        return ()
    return ((RETRY, str(ceil(error.retry_s * 1e3))),)
