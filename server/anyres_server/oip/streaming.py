"""`ModelStreamInfer`: many requests over one call, some at a time.

Answers come in the order of their requests, whichever is ready first, as stock tools expect; only
one that is wanted in tiles is written as its tiles are made, between the others. What goes wrong
with a request is said in its answer, and the stream goes on; a client that sends the metadata
`triton_grpc_error: true` wants the stream ended by it instead. Every answer says whether it is its
request's last, in `triton_final_response`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import grpc.aio

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.packing import field
from anyres_server.oip import parameters
from anyres_server.oip.answers import Answers
from anyres_server.oip.request import Asked
from anyres_server.oip.response import Response
from anyres_server.rpc.status import LONGEST_MESSAGE, answer_to

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Understand: TypeAlias = Callable[[pb.ModelInferRequest], Awaitable[Asked]]

FINAL = "triton_final_response"
STRICT = ("triton_grpc_error", "true")  # metadata: errors end the call


class Stream:
    """One call; `in_flight` requests of it are worked on at once."""

    def __init__(
        self, context: Context, understand: Understand, answers: Answers, in_flight: int
    ) -> None:
        self._context = context
        self._understand = understand
        self._answers = answers
        self._slots = asyncio.Semaphore(in_flight)
        self._writing = asyncio.Lock()
        self._strict = STRICT in tuple(context.invocation_metadata() or ())

    async def run(self, requests: AsyncIterator[pb.ModelInferRequest]) -> None:
        """Answer every request."""
        before = asyncio.Event()
        before.set()
        try:
            async with asyncio.TaskGroup() as answering:
                await self._slots.acquire()
                async for request in requests:
                    done = asyncio.Event()
                    answering.create_task(self._answer(request, before, done))
                    before = done
                    await self._slots.acquire()
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _answer(
        self, request: pb.ModelInferRequest, before: asyncio.Event, done: asyncio.Event
    ) -> None:
        """Answer one request, after the one before it."""
        try:
            answer = await self._outcome(request)
            await before.wait()
            if answer is not None:
                await self._write(answer)
        finally:
            done.set()
            self._slots.release()

    async def _outcome(
        self, request: pb.ModelInferRequest
    ) -> pb.ModelStreamInferResponse | bytes | None:
        """The answer to be written in its turn; None where it was written in tiles."""
        try:
            asked = await self._understand(request)
            if asked.tiles:
                await self._answers.tiles(request, asked, self._tile)
                return None
            return await self._answers.whole(request, asked, partial(_final, last=True))
        except Exception as error:
            if self._strict:
                raise
            return _failed(request, error)

    async def _tile(self, response: Response) -> None:
        made = response.head.parameters
        last = parameters.number(made, "tile") == (parameters.number(made, "tiles") or 0) - 1
        await self._write(await asyncio.to_thread(_final, response, last=last))

    async def _write(self, response: pb.ModelStreamInferResponse | bytes) -> None:
        async with self._writing:
            await self._context.write(response)


def _final(response: Response, *, last: bool) -> bytes:
    response.head.parameters[FINAL].bool_param = last
    number = pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER
    return b"".join(field(number, *response.parts))


def _failed(request: pb.ModelInferRequest, error: Exception) -> pb.ModelStreamInferResponse:
    """What was wrong, and with which request: clients have several on the way."""
    said = pb.ModelInferResponse(id=request.id)
    said.parameters[FINAL].bool_param = True
    message = answer_to(error, "ModelStreamInfer").message[:LONGEST_MESSAGE]
    return pb.ModelStreamInferResponse(error_message=message, infer_response=said)
