"""A server that is told to stop: what was let in is answered, in streams too; the rest is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_server.engine.session import open_engine
from anyres_server.main import running_server
from anyres_server.settings.settings import Settings

Png = Callable[[NDArray[Any]], bytes]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OPEN: Any = open_engine


class Held:
    """Networks that say when one has begun, and end when they may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def opening(self, *told: Any, **more: Any) -> HeldNetwork:
        return HeldNetwork(OPEN(*told, **more), self)


class HeldNetwork:
    def __init__(self, network: Any, held: Held) -> None:
        self._network, self._held = network, held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, *told: Any, **more: Any) -> Any:
        self._held.begun.set()
        assert self._held.may_end.wait(10)
        return self._network(*told, **more)


class Stopped:
    """A server that is told to stop by `stop`, and its client, who stays."""

    def __init__(self, channel: grpc.aio.Channel, stop: Callable[[], Any]) -> None:
        self.channel, self.stop = channel, stop
        self.stub: Any = DensePredictionServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)


@asynccontextmanager
async def stopping_server(
    models: Path, held: Held | None = None, **settings: Any
) -> AsyncIterator[Stopped]:
    chosen = Settings.model_validate(
        {"models": models, "port": 0, "repository": {"warm_up_s": 0}} | settings
    )
    async with AsyncExitStack() as stack:
        seam = {"opening": held.opening} if held else {}
        server = await stack.enter_async_context(running_server(chosen, **seam))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Stopped(channel, lambda: asyncio.create_task(stack.aclose()))


@pytest.fixture
def request_(models: Path, save_model: Any, png: Png) -> pb.PredictRequest:
    save_model("stride4")
    image = pb.Image(encoded=png(np.zeros((8, 8, 3), np.uint8)))
    return pb.PredictRequest(model_name="stride4", image=image)


async def test_a_stream_is_answered_as_far_as_it_was_let_in_and_then_told(
    models: Path, request_: pb.PredictRequest
) -> None:
    held = Held()
    async with stopping_server(models, held) as server, asyncio.timeout(20):
        stream, idle = server.stub.PredictStream(), server.stub.PredictStream()
        await idle.wait_for_connection()
        await stream.write(pb.PredictStreamRequest(id="before", request=request_))
        await asyncio.to_thread(held.begun.wait, 10)
        stopped = server.stop()
        assert await idle.code() is UNAVAILABLE  # at once, while the other is still answered
        assert await server.stub.Predict(request_).code() is UNAVAILABLE
        held.may_end.set()
        answer = await stream.read()
        assert (answer.id, answer.WhichOneof("outcome")) == ("before", "response")
        assert await stream.code() is UNAVAILABLE
        assert await stream.details() == "the server is shutting down"
        await stopped


async def test_what_runs_longer_than_the_grace_is_given_up(
    models: Path, request_: pb.PredictRequest
) -> None:
    held = Held()
    async with stopping_server(models, held, grace_s=0.05) as server, asyncio.timeout(20):
        call = server.stub.Predict(request_)
        await asyncio.to_thread(held.begun.wait, 10)
        stopped = server.stop()
        assert await call.code() in {UNAVAILABLE, grpc.StatusCode.CANCELLED}
        held.may_end.set()
        await stopped


async def test_every_watcher_is_told_of_the_stop_though_another_left(
    models: Path, request_: pb.PredictRequest
) -> None:
    async with stopping_server(models) as server, asyncio.timeout(20):
        leaves, stays = (server.health.Watch(HealthCheckRequest()) for _ in range(2))
        for watch in (leaves, stays):
            assert (await watch.read()).status == HealthCheckResponse.SERVING
        leaves.cancel()
        assert await leaves.code() is grpc.StatusCode.CANCELLED
        stopped = server.stop()
        assert (await stays.read()).status == HealthCheckResponse.NOT_SERVING
        await stopped
