"""Regions of shared memory: tensors in them go in and out, and the regions come and go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tests.server.shared import FOLDER, SHAPE, SIZE, Memory, key, register, request
from tests.server.stock import stock

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub

ANSWER = (1, 5, 2, 3)


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory(FOLDER / key()[1:])
    made.fill()
    yield made
    made.remove()


async def test_a_stock_client_shares_what_goes_in_and_what_comes_out(
    serve: Any, network: Any
) -> None:
    given = np.random.default_rng(4).random(SHAPE, np.float32)
    names = {name: key() for name in ("in", "out")}
    answer_bytes = 4 * int(np.prod(ANSWER))
    asked = {
        "model": "stride4",
        "name": "x",
        "shape": SHAPE,
        "region": {"region_name": "in", "byte_size": SIZE},
        "outputs": [{"name": "y", "region": {"region_name": "out", "byte_size": 500, "offset": 8}}],
    }
    async with serve("stride4") as served:
        outcomes = await stock(
            served.server.port,
            ("unregister_system_shared_memory", {}),
            (
                "share",
                {"name": "in", "key": names["in"], "size": SIZE, "values": given.tolist()},
            ),
            ("share", {"name": "out", "key": names["out"], "size": 512}),
            ("get_system_shared_memory_status", {"as_json": True}),
            ("infer", asked),
            ("shared", {"name": "out", "shape": [2 + answer_bytes // 4]}),
            ("unregister_system_shared_memory", {"name": "in"}),
            ("infer", asked),
        )
    status, answer, values, _, unknown = outcomes[3:]
    assert status["value"]["regions"]["in"] == {
        "name": "in",
        "key": names["in"],
        "byte_size": str(SIZE),
    }
    assert answer["value"]["outputs"] == {"y": {"region": "out"}}
    (wanted,) = ReferenceEvaluator(network("stride4")).run(None, {"x": given})
    found = np.reshape(values["value"][2:], ANSWER)
    np.testing.assert_allclose(found, np.asarray(wanted), atol=1e-5)
    assert unknown["status"] == "StatusCode.NOT_FOUND"


async def test_a_region_is_registered_once_and_forgotten_as_often_as_one_likes(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        with pytest.raises(grpc.aio.AioRpcError, match="already registered") as taken:
            await stub.SystemSharedMemoryRegister(register(memory))
        for _ in range(2):
            await stub.SystemSharedMemoryUnregister(
                pb.SystemSharedMemoryUnregisterRequest(name="images")
            )
        with pytest.raises(grpc.aio.AioRpcError, match="no region 'images'") as gone:
            await stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest(name="images"))
    assert taken.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_region_outlives_its_name_in_the_folder_and_is_closed_when_forgotten(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        memory.remove()
        assert (await stub.ModelInfer(request("images"))).model_name == "stride4"
        assert memory.opened() == 1
        await stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest())
        assert memory.opened() == 0


async def test_there_are_no_more_regions_than_the_server_allows(serve: Any, memory: Memory) -> None:
    async with serve("stride4", limits_shared_regions=2) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        for name in "ab":
            await stub.SystemSharedMemoryRegister(register(memory, name=name))
        with pytest.raises(grpc.aio.AioRpcError, match="2 regions are registered") as caught:
            await stub.SystemSharedMemoryRegister(register(memory, name="c"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_server_may_share_no_memory_and_then_promises_none(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4", limits_shared_regions=0) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        about = await stub.ServerMetadata(pb.ServerMetadataRequest())
        codes = []
        for call in (
            stub.SystemSharedMemoryRegister(register(memory)),
            stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest()),
            stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest()),
            stub.ModelInfer(request("images")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            codes.append(caught.value.code())
    assert "system_shared_memory" not in about.extensions
    assert codes == [grpc.StatusCode.UNIMPLEMENTED] * 4
