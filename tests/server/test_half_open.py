"""Connections that are there for one end only: found out, and what they asked is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub

Png = Callable[[NDArray[Any]], bytes]


class Cable:
    """A wire between client and server that can be cut without either being told."""

    def __init__(self) -> None:
        self.whole = asyncio.Event()
        self.whole.set()

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(2**16):
            await self.whole.wait()
            sink.write(data)
            await sink.drain()

    @asynccontextmanager
    async def to(self, port: int) -> AsyncIterator[int]:
        """The near end's port."""
        carrying: list[asyncio.Task[None]] = []

        async def plug(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            for source, sink in ((reader, far_writer), (far_reader, writer)):
                carrying.append(asyncio.create_task(self.carry(source, sink)))
            self.writers = (writer, far_writer)

        near = await asyncio.start_server(plug, "127.0.0.1", 0)
        try:
            yield near.sockets[0].getsockname()[1]
        finally:
            for task in carrying:
                task.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)
            for writer in self.writers:
                writer.close()
            near.close()


async def test_a_caller_behind_a_cut_wire_is_given_up_though_nobody_said_so(
    serve: Any, png: Png
) -> None:
    image = pb.Image(encoded=png(np.zeros((8, 8, 3), np.uint8)))
    request = pb.PredictRequest(model_name="unet", image=image)
    cable = Cable()
    async with (
        serve("unet", limits_keepalive_s=0.1, limits_streams=1) as served,
        cable.to(served.server.port) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as far,
        asyncio.timeout(20),
    ):
        stub: Any = DensePredictionServiceStub(far)
        stream = stub.PredictStream()
        await stream.write(pb.PredictStreamRequest(id="1", request=request))
        assert (await stream.read()).id == "1"
        cable.whole.clear()
        near = served.stub.PredictStream
        while await near(iter([])).code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass  # the one place for a stream is still held
        assert await near(iter([])).code() is grpc.StatusCode.OK
        stream.cancel()


@pytest.mark.parametrize(
    "half", [b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03"]
)
async def test_what_is_no_grpc_is_closed_and_the_others_are_served(serve: Any, half: bytes) -> None:
    async with serve("unet") as served, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
        writer.write(half)
        await writer.drain()
        assert (await served.stub.ListModels(pb.ListModelsRequest())).models
        if half.startswith(b"GET"):
            while await reader.read(2**16):
                pass  # what it says to that, until it closes
        writer.close()


async def test_more_connections_than_allowed_are_not_taken(serve: Any) -> None:
    async with serve("unet", limits_connections=2) as served, asyncio.timeout(20):
        assert (await served.stub.ListModels(pb.ListModelsRequest())).models
        address = ("127.0.0.1", served.server.port)
        ends = [await asyncio.open_connection(*address) for _ in range(4)]
        assert await ends[-1][0].read() == b""  # closed at once
        assert (await served.stub.ListModels(pb.ListModelsRequest())).models
        for _, writer in ends:
            writer.close()
