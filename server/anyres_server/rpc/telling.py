"""What is told of every call: an id that goes back with its answer, a span, events, a line.

The id is the caller's `x-request-id` where that is one, so that a request can be followed through
several services; it goes into logs, so it has no spaces, line ends or quotes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import grpc.aio

from anyres_server.observe import asked
from anyres_server.observe.asked import Asked
from anyres_server.observe.events import Ended, Left, Tell
from anyres_server.observe.tracing import Tracing
from anyres_server.rpc.access import Metadata, metadata_of
from anyres_server.rpc.doors import HEALTH

log = logging.getLogger(__name__)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

REQUEST_ID = "x-request-id"
ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Telling:
    """Tells of every call."""

    def __init__(self, tell: Tell, tracing: Tracing, *, log_calls: bool) -> None:
        self._tell = tell
        self._tracing = tracing
        self._level = logging.INFO if log_calls else logging.DEBUG

    @asynccontextmanager
    async def told(self, method: str, context: Context) -> AsyncIterator[None]:
        """All that happens in the block is this call's."""
        call = method.rpartition("/")[2]
        metadata = metadata_of(context)
        request = Asked(call, request_id(metadata), self._tell, self._tracing.tracer)
        asked.begin(request)
        if (left_s := context.time_remaining()) is not None:
            asked.due_within(left_s)
        context.set_trailing_metadata(((REQUEST_ID, request.id),))
        code = grpc.StatusCode.OK
        with self._tracing.call(method, metadata, request.id) as span:
            try:
                yield
                code = _code(context)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                now = asked.asked() or request
                if not _is_health(method):  # to stop watching it is no loss, and how it ends
                    self._tell(Left(call, now.model, now.took_s))
                raise
            except grpc.aio.AbortError:
                code = _code(context)
                raise
            finally:
                self._tracing.ended(span, code, asked.asked() or request)
                self._tell(Ended(call, code.name, request.took_s))
                if not (code is grpc.StatusCode.CANCELLED and _is_health(method)):
                    self._line(call, code, request.took_s)

    def _line(self, call: str, code: grpc.StatusCode, took_s: float) -> None:
        log.log(self._level, "%s %s in %.1f ms", call, code.name, took_s * 1e3)


def _is_health(method: str) -> bool:
    return method.strip("/") in HEALTH


def request_id(metadata: Metadata) -> str:
    """The caller's id where it is one, else a new one."""
    sent = next((value for key, value in metadata if key == REQUEST_ID), None)
    return sent if isinstance(sent, str) and ID.fullmatch(sent) else uuid4().hex


def _code(context: Context) -> grpc.StatusCode:
    """What the call ended with: grpc.aio keeps a number, 0 until something else is said."""
    code: Any = context.code()
    return CODES.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else code or CODES[0]
