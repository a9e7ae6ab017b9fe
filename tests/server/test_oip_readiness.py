"""Alive, ready, draining: what the Open Inference Protocol says of a server that stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.engine.session import Engine, open_engine
from anyres_server.main import running_server
from anyres_server.model import Array
from anyres_server.settings.settings import Settings

REQUEST = pb.ModelInferRequest(
    model_name="stride4",
    inputs=[
        pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=(1, 3, 8, 8)),
    ],
    raw_input_contents=[np.zeros((1, 3, 8, 8), "<f4").tobytes()],
)


class Held:
    """An engine that says when it has begun, and ends when it may."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batches, self.metadata = engine.batches, engine.metadata
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        self.begun.set()
        assert self.may_end.wait(10)
        return self._engine(images, outputs, **how)


async def test_a_server_that_stops_is_alive_but_not_ready_and_finishes_what_it_began(
    models: Path, save_model: Any
) -> None:
    held = Held(open_engine(save_model("stride4"), threads=1))
    opening: Any = partial(_open, held)
    async with AsyncExitStack() as stack:
        running = running_server(
            Settings.model_validate(
                {
                    "models": models,
                    "port": 0,
                    "compute": {"threads": 1},
                    "repository": {"warm_up_s": 0},
                }
            ),
            opening=opening,
        )
        server = await stack.enter_async_context(running)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
            first = asyncio.create_task(_answer(stub))
            await asyncio.to_thread(held.begun.wait, 10)
            stopping = asyncio.create_task(stack.aclose())
            async with asyncio.timeout(10):
                while (await stub.ServerReady(pb.ServerReadyRequest())).ready:
                    pass  # each question is a round trip, in which the server may go on
            assert (await stub.ServerLive(pb.ServerLiveRequest())).live
            with pytest.raises(grpc.aio.AioRpcError, match="shutting down") as caught:
                await stub.ModelInfer(REQUEST)
            held.may_end.set()
            assert list((await first).outputs[0].shape) == [1, 5, 2, 2]
            await stopping
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def _open(held: Held, path: Path, threads: int) -> Held:
    return held


async def _answer(stub: Any) -> pb.ModelInferResponse:
    response: pb.ModelInferResponse = await stub.ModelInfer(REQUEST)
    return response
