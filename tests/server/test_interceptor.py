"""What every call passes, on a real server and a real channel; the service is one function."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest

from anyres_proto.errors import WireError
from anyres_server import errors
from anyres_server.observe.events import Ended, Event, Refused
from anyres_server.rpc.front import front
from anyres_server.schedule.admission import Gate
from anyres_server.settings.settings import Settings

Status = tuple[grpc.StatusCode, str]
PACKED = HealthCheckRequest(service="").SerializeToString()


async def unary(error: Exception) -> Status:
    async def fail(request: Any, context: object) -> bytes:
        raise error

    return await ended(grpc.unary_unary_rpc_method_handler(fail, *CODEC), "unary_unary")


async def generator(error: Exception) -> Status:
    async def fail(request: Any, context: object) -> AsyncIterator[bytes]:
        yield b"first"
        raise error

    return await ended(grpc.unary_stream_rpc_method_handler(fail, *CODEC), "unary_stream")


async def writer(error: Exception) -> Status:
    async def fail(requests: object, context: Any) -> None:
        await context.write(b"first")
        raise error

    return await ended(grpc.stream_stream_rpc_method_handler(fail, *CODEC), "stream_stream")


async def reader(error: Exception) -> Status:
    """What goes wrong in a stream's task comes in a group."""

    async def fail(requests: Any, context: Any) -> bytes:
        async for _ in requests:
            raise ExceptionGroup("tasks", [error])
        return b""

    return await ended(grpc.stream_unary_rpc_method_handler(fail, *CODEC), "stream_unary")


CODEC = (HealthCheckRequest.FromString, None)


async def ended(
    handler: Any, kind: str, told: list[Event] | None = None, packed: bytes = PACKED
) -> Status:
    settings = Settings.model_validate({"models": Path(), "port": 0})
    events: list[Event] = [] if told is None else told
    async with front(settings, (), events.append) as entrance:
        service = grpc.method_handlers_generic_handler("test.Service", {"Fail": handler})
        entrance.server.add_generic_rpc_handlers((service,))
        port = entrance.listen()
        await entrance.server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = getattr(channel, kind)("/test.Service/Fail")
                answer = call(iter([packed])) if kind.startswith("stream") else call(packed)
                with suppress(grpc.aio.AioRpcError):
                    _ = (
                        await answer
                        if kind.endswith("unary")
                        else [message async for message in answer]
                    )
                return await answer.code(), await answer.details()
        finally:
            await entrance.stop(Gate(1))


@pytest.mark.parametrize("call", [unary, generator, writer, reader])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("wrong"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.ModelNotFound("no model"), grpc.StatusCode.NOT_FOUND),
        (errors.ModelBroken("cut off"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.Overloaded("full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.TooLarge("too large"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.Unavailable("closing"), grpc.StatusCode.UNAVAILABLE),
        (errors.InferenceFailed("broke"), grpc.StatusCode.INTERNAL),
        (errors.NoToken("who?"), grpc.StatusCode.UNAUTHENTICATED),
        (errors.Forbidden("not you"), grpc.StatusCode.PERMISSION_DENIED),
        (WireError("contradiction"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_our_own_errors_keep_their_words_in_every_kind_of_call(
    call: Any, error: Exception, code: grpc.StatusCode
) -> None:
    assert await call(error) == (code, str(error))


@pytest.mark.parametrize("call", [unary, generator, writer, reader])
async def test_anything_else_is_internal_and_keeps_its_secrets_to_the_log(
    call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    code, details = await call(RuntimeError("password=hunter2"))
    assert code is grpc.StatusCode.INTERNAL
    assert details.startswith("internal error")
    assert "hunter2" not in details
    assert "hunter2" in caplog.text


async def test_a_message_that_is_none_is_the_callers_mistake() -> None:
    async def never(request: Any, context: object) -> bytes:
        raise AssertionError("the service was asked")

    handler: Any = grpc.unary_unary_rpc_method_handler(never, *CODEC)
    code, details = await ended(handler, "unary_unary", packed=b"\xff\xff\xff")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "the message is not one that Fail takes"


async def test_a_call_without_its_message_is_the_callers_mistake() -> None:
    async def never(request: Any, context: object) -> bytes:
        raise AssertionError("the service was asked")

    told: list[Event] = []
    settings = Settings.model_validate({"models": Path(), "port": 0})
    async with front(settings, (), told.append) as entrance:
        handler: Any = grpc.unary_unary_rpc_method_handler(never, *CODEC)
        service = grpc.method_handlers_generic_handler("test.Service", {"Fail": handler})
        entrance.server.add_generic_rpc_handlers((service,))
        port = entrance.listen()
        await entrance.server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.stream_unary("/test.Service/Fail")(iter([]))
        await entrance.stop(Gate(1))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_words_too_long_for_a_header_are_cut() -> None:
    code, details = await unary(errors.InvalidRequest("x" * 100_000))
    assert (code, len(details)) == (grpc.StatusCode.INVALID_ARGUMENT, 1500)


async def test_a_call_that_fails_is_told_once_with_its_reason_and_once_that_it_ended() -> None:
    async def fail(request: Any, context: object) -> bytes:
        raise errors.TooLarge("too large")

    told: list[Event] = []
    await ended(grpc.unary_unary_rpc_method_handler(fail, *CODEC), "unary_unary", told)
    refused, over = told
    assert isinstance(refused, Refused)
    assert (refused.call, refused.reason) == ("Fail", "TooLarge")
    assert isinstance(over, Ended)
    assert (over.call, over.code) == ("Fail", "RESOURCE_EXHAUSTED")


def test_every_error_says_which_problem_it_is() -> None:
    kinds = errors.ServingError.__subclasses__()
    assert len(kinds) >= 7
    assert all(kind.problem for kind in kinds)
