"""grpc.health.v1: the server, its services and each model; watchers do not depend on each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


async def check(stub: Any, name: str) -> Any:
    try:
        return (await stub.Check(HealthCheckRequest(service=name))).status
    except grpc.aio.AioRpcError as error:
        return error.code()


async def said(watch: Any) -> Any:
    answer = await asyncio.wait_for(watch.read(), 10)
    return answer.status


async def test_the_server_its_services_and_its_models_are_asked_by_name(
    serve: Any, models: Path
) -> None:
    (models / "broken.onnx").write_bytes(b"no model")
    async with serve("unet") as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        for name in ("", "anyres.v1.DensePredictionService", "grpc.health.v1.Health", "unet"):
            assert await check(stub, name) == SERVING
        assert await check(stub, "inference.GRPCInferenceService") == SERVING
        assert await check(stub, "broken") == NOT_SERVING
        assert await check(stub, "nobody's") is grpc.StatusCode.NOT_FOUND


async def test_who_watches_a_model_is_told_that_it_came_and_that_it_went(
    serve: Any, models: Path, save_model: Any
) -> None:
    async with serve("unet") as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(HealthCheckRequest(service="stride4"))
        assert await said(watch) == UNKNOWN
        await asyncio.to_thread(save_model, "stride4")
        if (status := await said(watch)) == NOT_SERVING:  # seen while it was half written
            status = await said(watch)
        assert status == SERVING
        await asyncio.to_thread((models / "stride4.onnx").unlink)
        assert await said(watch) == UNKNOWN
        watch.cancel()


async def test_watchers_of_names_that_are_not_there_are_limited(serve: Any) -> None:
    async with serve("unet", limits_streams=2) as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watches = [stub.Watch(HealthCheckRequest(service=f"made up {i}")) for i in range(2)]
        for watch in watches:
            assert await said(watch) == UNKNOWN
        refused = stub.Watch(HealthCheckRequest(service="made up 3"))
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for watch in watches:
            watch.cancel()
