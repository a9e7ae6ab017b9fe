"""What every call passes through, whatever its service. The order, in the only place that has one:

    told        a request id, a span, and what is told of the call when it is over
    answered    errors become codes: whatever goes wrong below here is answered and told
    door        a place among so many; a server that stops takes no newcomers
    caller      whose token it is, and whether it may make this call
    pace        so many a second
    message     read, in bounded time and memory; unpacked; the caller's right to the model it names
    the service
    answer      without the models that the caller may not see

All above `message` happens before a byte of it is read, so that refusing costs nothing. To that end
every method is served as one that reads for itself; on the wire that makes no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isasyncgenfunction
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from anyres_server.errors import InvalidRequest, ServingError
from anyres_server.observe import asked
from anyres_server.rpc.access import CALLER, Access, Caller, metadata_of
from anyres_server.rpc.doors import Door, Doors, door_of
from anyres_server.rpc.messages import Context, Messages
from anyres_server.rpc.names import model_asked, without
from anyres_server.rpc.rates import Pace
from anyres_server.rpc.status import answered
from anyres_server.rpc.telling import Telling

# Quoted: these are generic in types-grpcio but not at run time.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

# Streams whose every message is a request of its own: where such a stream is cut short, what was
# asked before is still answered.
INDEPENDENT = frozenset({"PredictStream", "ModelStreamInfer", "ServerReflectionInfo"})


@dataclass(frozen=True, eq=False)
class Method:
    """One of a server's calls."""

    name: str  # "/package.Service/Call"
    handler: Handler

    @property
    def call(self) -> str:
        """The wire's name, without its service."""
        return self.name.rpartition("/")[2]

    @property
    def streams(self) -> bool:
        """Whether either side sends more than one message."""
        return bool(self.handler.request_streaming or self.handler.response_streaming)

    @property
    def inner(self) -> Callable[..., Any]:
        """The service's own function."""
        into = "stream" if self.handler.request_streaming else "unary"
        out = "stream" if self.handler.response_streaming else "unary"
        function: Callable[..., Any] = getattr(self.handler, f"{into}_{out}")
        return function

    def unpacked(self, packed: bytes) -> Any:
        """A message out of its bytes.

        Raises:
            InvalidRequest: they are none.
        """
        unpack: Any = self.handler.request_deserializer
        try:
            return unpack(packed)
        except DecodeError as error:
            raise InvalidRequest(f"the message is not one that {self.call} takes") from error


@dataclass(frozen=True, eq=False)
class Passage:
    """What a call passes through."""

    telling: Telling
    doors: Doors
    access: Access
    everyone: Pace
    messages: Messages
    message_s: float


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Leads every call through."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Serve the method that was called for, led through."""
        handler = await continuation(details)
        if handler is None:
            return None
        method = Method(details.method, handler)
        make, led = _LED[handler.response_streaming]

        async def serve(_: object, context: Context) -> Any:
            async with self._passage.telling.told(method.name, context):
                work = partial(led, self._passage, method, context)
                return await answered(method.call, context, work)

        served: Handler = make(serve, response_serializer=partial(_packed, method))
        return served


@dataclass(eq=False)
class _Led:
    """A call that has passed all but its messages."""

    passage: Passage
    method: Method
    context: Context
    door: Door
    caller: Caller
    cut: ServingError | None = None  # why no more of its messages are read

    async def request(self) -> Any:
        """What the service is given: the one message, or an iterator of them."""
        if self.method.handler.request_streaming:
            return self._messages()
        packed = await self.passage.messages.next(
            self.context, within_s=self.passage.message_s, always=self.door is Door.HEALTH
        )
        if packed is None:
            raise InvalidRequest(f"{self.method.call} takes one message; there was none")
        return self._message(packed)

    async def _messages(self) -> AsyncIterator[Any]:
        independent = self.method.call in INDEPENDENT
        try:
            while packed := await self._next(ends=independent):
                message = self._message(packed[0])
                await self._in_time(message)
                yield message
        except ServingError as error:
            if not independent:
                raise
            self.cut = error

    async def _next(self, *, ends: bool) -> tuple[bytes] | None:
        """In a tuple, since an empty message is no end."""
        within_s = None if ends else self.passage.message_s  # an upload goes on, a dialogue rests
        packed = await self.passage.messages.next(self.context, within_s=within_s, ends=ends)
        return None if packed is None else (packed,)

    def _message(self, packed: bytes) -> Any:
        message = self.method.unpacked(packed)
        model = model_asked(message)
        asked.next_message(model or "")
        if model is not None:
            self.caller.check(model)
        return message

    async def _in_time(self, message: Any) -> None:
        """A stream is slowed down, not refused; each of its requests counts."""
        if model_asked(message) is None:
            return
        for pace in (self.caller.pace, self.passage.everyone):
            await asyncio.sleep(pace.wait_s())
            pace.count()


@asynccontextmanager
async def _through(passage: Passage, method: Method, context: Context) -> AsyncIterator[_Led]:
    door = door_of(method.name, streams=method.streams)
    with passage.doors.entered(door):
        caller = passage.access.caller(method.name, metadata_of(context))
        CALLER.set(caller)
        asked.known_by(caller.name)
        with caller.entered():
            if door is Door.REQUESTS:
                _counted(caller.pace, passage.everyone)
            led = _Led(passage, method, context, door, caller)
            yield led
            if led.cut is not None:
                raise led.cut


def _counted(*paces: Pace) -> None:
    for pace in paces:
        pace.check()
    for pace in paces:
        pace.count()


async def _single(passage: Passage, method: Method, context: Context) -> Any:
    async with _through(passage, method, context) as led:
        response = await method.inner(await led.request(), context)
        return response if isinstance(response, bytes) else without(response, led.caller.sees)


def _packed(method: Method, response: Any) -> bytes:
    """A response as it travels; one with much in it is so already."""
    pack: Any = method.handler.response_serializer
    return response if isinstance(response, bytes) else bytes(pack(response))


async def _streamed(passage: Passage, method: Method, context: Context) -> None:
    async with _through(passage, method, context) as led:
        inner, request = method.inner, await led.request()
        if not isasyncgenfunction(inner):
            await inner(request, context)  # it writes for itself
            return
        async for response in inner(request, context):
            await context.write(response)


_LED: dict[bool, Any] = {
    True: (grpc.stream_stream_rpc_method_handler, _streamed),
    False: (grpc.stream_unary_rpc_method_handler, _single),
}
