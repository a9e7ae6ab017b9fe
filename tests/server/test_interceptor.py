"""The interceptor on a real server and a real channel; the service is one function."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import pytest

from anyres_proto.errors import WireError
from anyres_server import errors
from anyres_server.rpc.status import StatusInterceptor

Status = tuple[grpc.StatusCode, str]


async def unary(error: Exception) -> Status:
    async def fail(request: bytes, context: object) -> bytes:
        raise error

    return await ended(grpc.unary_unary_rpc_method_handler(fail), "unary_unary")


async def generator(error: Exception) -> Status:
    async def fail(request: bytes, context: object) -> AsyncIterator[bytes]:
        yield b"first"
        raise error

    return await ended(grpc.unary_stream_rpc_method_handler(fail), "unary_stream")


async def writer(error: Exception) -> Status:
    async def fail(requests: object, context: Any) -> None:
        await context.write(b"first")
        raise error

    return await ended(grpc.stream_stream_rpc_method_handler(fail), "stream_stream")


async def ended(handler: Any, kind: str) -> Status:
    server = grpc.aio.server(interceptors=[StatusInterceptor()])
    service = grpc.method_handlers_generic_handler("test.Service", {"Fail": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = getattr(channel, kind)("/test.Service/Fail")
            answer = call(iter([b""])) if kind == "stream_stream" else call(b"")
            with suppress(grpc.aio.AioRpcError):
                _ = await answer if kind == "unary_unary" else [message async for message in answer]
            return await answer.code(), await answer.details()
    finally:
        await server.stop(None)


@pytest.mark.parametrize("call", [unary, generator, writer])
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
        (WireError("contradiction"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_our_own_errors_keep_their_words_in_every_kind_of_call(
    call: Any, error: Exception, code: grpc.StatusCode
) -> None:
    assert await call(error) == (code, str(error))


@pytest.mark.parametrize("call", [unary, generator, writer])
async def test_anything_else_is_internal_and_keeps_its_secrets_to_the_log(
    call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    code, details = await call(RuntimeError("password=hunter2"))
    assert code is grpc.StatusCode.INTERNAL
    assert details.startswith("internal error")
    assert "hunter2" not in details
    assert "hunter2" in caplog.text


def test_every_error_says_which_problem_it_is() -> None:
    kinds = errors.ServingError.__subclasses__()
    assert len(kinds) >= 7
    assert all(kind.problem for kind in kinds)
