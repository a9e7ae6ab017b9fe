"""Old connections end, so that callers look for replicas anew, and no call ends with them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.engine.session import open_engine

Png = Callable[[NDArray[Any]], bytes]
AGE_S = 0.2


@pytest.fixture
def request_(png: Png) -> pb.PredictRequest:
    image = pb.Image(encoded=png(np.zeros((20, 30, 3), np.uint8)))
    return pb.PredictRequest(model_name="unet", image=image)


async def ended(channel: Any) -> None:
    """Wait until the server has ended the connection."""
    async with asyncio.timeout(20):
        while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)


async def test_a_connection_ends_when_it_is_old_and_the_next_call_makes_another(
    serve: Any, request_: pb.PredictRequest
) -> None:
    async with serve("unet", limits_connection_age_s=AGE_S) as served:
        for _ in range(3):
            await served.stub.Predict(request_)
            await ended(served.channel)


async def test_calls_without_pause_notice_nothing_of_it(
    serve: Any, request_: pb.PredictRequest
) -> None:
    async with serve("unet", limits_connection_age_s=AGE_S) as served:
        until = asyncio.get_running_loop().time() + 5 * AGE_S

        async def caller() -> None:
            while asyncio.get_running_loop().time() < until:
                await served.stub.Predict(request_)

        await asyncio.gather(*(caller() for _ in range(4)))


async def test_a_call_that_takes_longer_is_answered(
    serve: Any, request_: pb.PredictRequest
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Held:
        def __init__(self, network: Any) -> None:
            self._network = network

        def __getattr__(self, name: str) -> Any:
            return getattr(self._network, name)

        def __call__(self, *told: Any, **more: Any) -> Any:
            begun.set()
            assert may_end.wait(10)
            return self._network(*told, **more)

    def opening(path: Path, *, threads: int) -> Any:
        return Held(open_engine(path, threads))

    async with serve("unet", opening=opening, limits_connection_age_s=AGE_S) as served:
        asked = served.stub.Predict(request_)
        assert await asyncio.to_thread(begun.wait, 10)
        await ended(served.channel)
        may_end.set()
        assert (await asked).model_name == "unet"
