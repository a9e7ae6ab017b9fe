"""A server with too much to do, and callers that leave: its engine holds every run until told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_server.engine.session import Engine, open_engine
from anyres_server.model import Array

Png = Callable[[NDArray[Any]], bytes]
PIXELS = np.zeros((8, 8, 3), np.uint8)


class Held:
    """Networks that begin, and go on when `go` is set."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.runs: list[tuple[int, ...]] = []

    def open(self, path: Path, *, threads: int) -> HeldEngine:
        return HeldEngine(open_engine(path, threads), self)


class HeldEngine:
    def __init__(self, engine: Engine, held: Held) -> None:
        self._engine = engine
        self._held = held

    @property
    def batches(self) -> bool:
        return False

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._engine.metadata

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        self._held.runs.append(images.shape)
        self._held.began.release()
        assert self._held.go.wait(10)
        return self._engine(images, outputs, **how)


@pytest.fixture
def held() -> Held:
    return Held()


async def a_run_began(held: Held) -> None:
    assert await asyncio.to_thread(held.began.acquire, timeout=10)


async def test_a_full_queue_refuses_at_once_and_serves_again_when_there_is_room(
    serve: Any, held: Held, png: Png
) -> None:
    async with serve("stride4", opening=held.open, limits_requests=1) as served:
        running = asyncio.ensure_future(served.predict("stride4", png(PIXELS)))
        await a_run_began(held)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.predict("stride4", png(PIXELS))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "queue is full" in (caught.value.details() or "")
        assert not running.done()
        held.go.set()
        await running
        await served.predict("stride4", png(PIXELS))


async def test_a_caller_that_cancels_or_runs_out_of_time_costs_the_engine_nothing(
    serve: Any, held: Held, png: Png
) -> None:
    def ask(side: int, **options: Any) -> Any:
        image = pb.Image(encoded=png(np.zeros((side, side, 3), np.uint8)))
        return served.stub.Predict(pb.PredictRequest(model_name="stride4", image=image), **options)

    async with serve("stride4", opening=held.open, limits_requests=2) as served:
        running = ask(8)
        await a_run_began(held)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(12, timeout=0.2)
        leaver = await admitted(lambda: ask(16))
        leaver.cancel()
        last = await admitted(lambda: ask(20))
        held.go.set()
        await running
        await last
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [shape[-1] for shape in held.runs] == [8, 20]


async def admitted(ask: Callable[[], Any]) -> Any:
    """Ask until the gate has room; the call that waits behind it."""
    async with asyncio.timeout(5):
        while True:
            call = ask()
            done, _ = await asyncio.wait({asyncio.ensure_future(call.code())}, timeout=0.05)
            if not done:
                return call
            assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_keeps_to_its_own_limit_and_leaves_room_for_others(
    serve: Any, held: Held, png: Png
) -> None:
    requests = [
        pb.PredictStreamRequest(
            id=str(i),
            request=pb.PredictRequest(model_name="stride4", image=pb.Image(encoded=png(PIXELS))),
        )
        for i in range(6)
    ]
    held.go.set()
    async with serve(
        "stride4", opening=held.open, limits_requests=2, limits_stream_in_flight=2
    ) as served:
        answers = [answer async for answer in served.stub.PredictStream(iter(requests))]
    assert sorted(answer.id for answer in answers) == [request.id for request in requests]
    assert all(answer.HasField("response") for answer in answers)


async def test_grace_has_an_end_and_those_who_still_wait_are_answered(
    serve: Any, held: Held, png: Png
) -> None:
    async with serve("stride4", opening=held.open, grace_s=0.05) as served:
        address = f"127.0.0.1:{served.server.port}"
        own = grpc.aio.insecure_channel(address)
        stub = DensePredictionServiceStub(own)
        image = pb.Image(encoded=png(PIXELS))
        stuck = [
            stub.Predict(pb.PredictRequest(model_name="stride4", image=image)) for _ in range(2)
        ]
        await a_run_began(held)
        threading.Timer(1.3, held.go.set).start()  # the process may end then, not the calls
    codes = {await call.code() for call in stuck}
    await own.close()
    assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
