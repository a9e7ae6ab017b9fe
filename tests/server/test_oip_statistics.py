"""`ModelStatistics`: every request, image and run is counted, and where their time went."""

from __future__ import annotations

from time import time
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from tests.server.stock import sent, stock

from anyres_proto.anyres.v1 import dense_prediction_pb2 as dense
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub

QUIET: dict[str, Any] = {"repository_warm_up_s": 0}  # a warm-up is runs, too


def zeros(images: int, side: int = 8) -> dict[str, Any]:
    return {"model": "stride4", "name": "x", "values": np.zeros((images, 3, side, side)).tolist()}


def count(statistics: dict[str, Any], what: str) -> int:
    return int(statistics["inference_stats"][what].get("count", 0))


async def statistics(stub: Any, **which: str) -> list[pb.ModelStatistics]:
    answer = await stub.ModelStatistics(pb.ModelStatisticsRequest(**which))
    return list(answer.model_stats)


async def test_what_is_asked_is_counted_and_where_its_time_went(serve: Any, png: Any) -> None:
    pictures = sent(*(png(np.zeros((side, 8, 3), np.uint8)) for side in (8, 12, 16)))
    began = time()
    async with serve("stride4", **QUIET) as served:
        outcomes = await stock(
            served.server.port,
            ("get_inference_statistics", {"model_name": "stride4", "as_json": True}),
            ("infer", zeros(1)),
            ("infer", zeros(3)),
            ("infer", {"model": "stride4", "name": "x", "files": pictures, "datatype": "BYTES"}),
            ("infer", zeros(1) | {"datatype": "FP64", "dtype": "float64"}),
            ("get_inference_statistics", {"model_name": "stride4", "as_json": True}),
        )
    before, *_, after = (outcome.get("value", {}) for outcome in outcomes)
    (untouched,), (found,) = before["model_stats"], after["model_stats"]
    assert "inference_count" not in untouched  # 0 of everything
    assert (found["name"], found["version"]) == ("stride4", "1")
    assert int(found["inference_count"]) == 1 + 3 + 3
    assert {what: count(found, what) for what in ("success", "fail")} == {"success": 3, "fail": 1}
    for part in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert count(found, part) == 3
    assert began * 1e3 - 1e3 <= int(found["last_inference"]) <= time() * 1e3 + 1e3
    sums = {name: int(part.get("ns", 0)) for name, part in found["inference_stats"].items()}
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert sums["success"] == sum(sums[part] for part in parts)
    runs = {
        int(each["batch_size"]): int(each["compute_infer"]["count"])
        for each in found["batch_stats"]
    }
    assert sum(size * times for size, times in runs.items()) == 7
    assert int(found["execution_count"]) == sum(runs.values())


async def test_the_other_protocol_and_streams_are_counted_with_it(serve: Any, png: Any) -> None:
    image = png(np.zeros((8, 8, 3), np.uint8))
    async with serve("stride4", **QUIET) as served:
        await served.predict("stride4", image)
        wrong = zeros(1) | {"outputs": ["nothing"]}
        await stock(served.server.port, ("stream", {"requests": [zeros(1), wrong, zeros(2)]}))
        (found,) = await statistics(GRPCInferenceServiceStub(served.channel), name="stride4")
    assert found.inference_stats.success.count == 3
    assert found.inference_stats.fail.count == 1
    assert found.inference_count == 4


async def test_what_a_request_takes_is_known_to_whoever_asks_for_the_cost(serve: Any) -> None:
    asked = dense.EstimateCostRequest(
        model_name="stride4", image_size=dense.Size(height=8, width=8)
    )
    async with serve("stride4", **QUIET) as served:
        before = await served.stub.EstimateCost(asked)
        await stock(served.server.port, ("infer", zeros(1)))
        after = await served.stub.EstimateCost(asked)
    assert not before.HasField("compute_s")
    assert after.compute_s > 0


async def test_versions_are_counted_apart_and_listed_together(serve: Any, models: Any) -> None:
    async with serve("stride4", "grey", **QUIET) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stock(served.server.port, ("infer", zeros(1)))
        everything = await statistics(stub)
        named = await statistics(stub, name="stride4", version="1")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await statistics(stub, name="stride4", version="2")
    assert {each.name: each.inference_count for each in everything} == {"grey": 0, "stride4": 1}
    assert [each.inference_count for each in named] == [1]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_a_load_tool_does_in_its_order_works(serve: Any) -> None:
    """perf_analyzer: metadata, configuration, then counters around requests, queue's growing."""
    about_model = {"model_name": "stride4", "as_json": True}
    async with serve("stride4", **QUIET) as served:
        outcomes = await stock(
            served.server.port,
            ("get_model_metadata", about_model),
            ("get_model_config", about_model),
            ("get_server_metadata", {"as_json": True}),
            ("unregister_system_shared_memory", {}),
            ("get_inference_statistics", about_model),
            ("async_infer", {"requests": [zeros(1), zeros(1, 12), zeros(1, 16)]}),
            ("stream", {"requests": [zeros(1), zeros(1, 12)]}),
            ("get_inference_statistics", about_model),
        )
    metadata, config, about, _, before, *_, after = (each["value"] for each in outcomes)
    assert "max_batch_size" not in config["config"]
    assert {"statistics", "binary_tensor_data"} <= set(about["extensions"])
    assert [each["name"] for each in metadata["outputs"]] == ["y"]
    first, last = (each["model_stats"][0] for each in (before, after))
    assert int(last["version"]) == 1
    assert count(last, "queue") - count(first, "queue") == 5
