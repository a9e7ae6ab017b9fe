"""What Prometheus scrapes, read by Prometheus' own parser; and the health beside it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.status import Problem
from anyres_server.engine.session import open_engine
from anyres_server.errors import StartFailed
from anyres_server.model import Model, Plan, RouteKind, Timing
from anyres_server.observe.events import Answered, Ended, Event, Left, Ran, Refused
from anyres_server.observe.metrics import Metrics

Png = Callable[[NDArray[Any]], bytes]
Sample = tuple[str, frozenset[tuple[str, str]]]


async def get(port: int, path: str) -> tuple[int, str]:
    """An HTTP answer."""

    def ask() -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    return await asyncio.to_thread(ask)


async def scrape(port: int) -> Mapping[Sample, float]:
    status, text = await get(port, "/metrics")
    assert status == 200
    return samples(text)


def samples(text: str) -> Mapping[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def at(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


@pytest.fixture
def image(png: Png) -> pb.Image:
    return pb.Image(encoded=png(np.zeros((20, 30, 3), np.uint8)))


async def test_a_server_tells_what_it_was_asked_and_what_it_holds(
    serve: Any, image: pb.Image
) -> None:
    async with serve("unet", observe_metrics_port=0) as served:
        for _ in range(3):
            await served.stub.Predict(pb.PredictRequest(model_name="unet", image=image))
        told = await scrape(served.server.metrics_port)
    calls = at("anyres_calls_total", call="Predict", code="OK")
    requests = at("anyres_requests_total", call="Predict", model="unet", code="OK")
    assert told[calls] == told[requests] == 3
    assert told[at("anyres_image_pixels_total", model="unet")] == 3 * 20 * 30
    assert told[at("anyres_stage_seconds_count", model="unet", stage="compute")] == 3
    assert told[at("anyres_run_seconds_total", model="unet")] > 0
    assert told[at("anyres_batch_images_sum", model="unet")] >= 3  # with those of its warm-up
    assert told[at("anyres_model_ready", model="unet")] == 1
    assert told[at("anyres_memory_reserved_bytes", budget="activations")] == 0
    assert told[at("anyres_memory_budget_bytes", budget="activations")] > 0
    assert told[at("process_resident_memory_bytes")] > 2**20
    build = next(labels for name, labels in told if name == "anyres_build_info")
    assert {key for key, value in build if value} == {
        *("version", "python", "onnxruntime", "grpcio")
    }


@pytest.mark.parametrize(
    ("size", "named"),
    [
        ((1, 1), "up to 0.1"),
        ((250, 400), "up to 0.1"),
        ((250, 401), "up to 1"),
        ((4000, 3000), "up to 100"),
        ((20_000, 20_000), "more"),
    ],
)
def test_how_long_an_answer_takes_is_told_by_the_images_size(
    model: Model, size: tuple[int, int], named: str
) -> None:
    plan = Plan(model, size, size, RouteKind.WHOLE, 1)
    told = counted(model, Answered("Predict", plan, 1, 1, Timing(0, 0, 0, 0), took_s=0.5))
    assert told[at("anyres_answer_seconds_sum", model="unet", megapixels=named)] == 0.5


async def test_what_is_let_in_is_backlog_until_it_is_answered(serve: Any, image: pb.Image) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def opening(path: Path, *, threads: int) -> Any:
        network = open_engine(path, threads)

        def held(*told: Any, **more: Any) -> Any:
            begun.set()
            assert may_end.wait(10)
            return network(*told, **more)

        return Held(network, held)

    async with serve("unet", opening=opening, observe_metrics_port=0) as served:
        asked = served.stub.Predict(pb.PredictRequest(model_name="unet", image=image))
        assert await asyncio.to_thread(begun.wait, 10)
        assert (await scrape(served.server.metrics_port))[at("anyres_backlog_pixels")] == 20 * 30
        may_end.set()
        await asked
        assert (await scrape(served.server.metrics_port))[at("anyres_backlog_pixels")] == 0


@dataclass(frozen=True)
class Held:
    """A network that answers by something else."""

    network: Any
    answer: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def __call__(self, *told: Any, **more: Any) -> Any:
        return self.answer(*told, **more)


async def test_whatever_callers_make_up_makes_no_new_series(serve: Any, image: pb.Image) -> None:
    async with serve("unet", observe_metrics_port=0) as served:
        for made_up in ("a", "b", "c" * 10_000, 'd\n"e'):
            request = pb.PredictRequest(model_name=made_up, image=image)
            assert await served.stub.Predict(request).code() is grpc.StatusCode.NOT_FOUND
            nowhere = served.channel.unary_unary(f"/made.up.Service/{made_up[:10]!r}")
            assert await nowhere(b"").code() is grpc.StatusCode.UNIMPLEMENTED
        told = await scrape(served.server.metrics_port)
    assert told[at("anyres_requests_total", call="Predict", model="", code="NOT_FOUND")] == 4
    assert told[at("anyres_refused_total", call="Predict", reason="ModelNotFound")] == 4
    calls = {dict(labels)["call"] for name, labels in told if name == "anyres_calls_total"}
    assert calls == {"Predict"}


async def test_each_request_of_a_stream_counts_and_the_stream_is_one_call(
    serve: Any, image: pb.Image
) -> None:
    right = pb.PredictRequest(model_name="unet", image=image)
    wrong = pb.PredictRequest(model_name="nobody's", image=image)
    asked = [
        pb.PredictStreamRequest(id=str(i), request=request)
        for i, request in enumerate((right, wrong, right))
    ]
    async with serve("unet", observe_metrics_port=0) as served:
        _ = [answer async for answer in served.stub.PredictStream(iter(asked))]
        told = await scrape(served.server.metrics_port)
    call = "PredictStream"
    assert told[at("anyres_requests_total", call=call, model="unet", code="OK")] == 2
    assert told[at("anyres_requests_total", call=call, model="", code="NOT_FOUND")] == 1
    assert told[at("anyres_calls_total", call=call, code="OK")] == 1


async def test_who_leaves_is_counted_as_who_left(serve: Any) -> None:
    async with serve("unet", observe_metrics_port=0) as served:
        stream = served.stub.PredictStream()
        await stream.write(pb.PredictStreamRequest(id="1"))
        assert (await stream.read()).id == "1"  # it is inside
        stream.cancel()
        gone = at("anyres_cancelled_total", call="PredictStream", model="")
        async with asyncio.timeout(10):
            while gone not in (told := await scrape(served.server.metrics_port)):
                pass
    assert told[gone] == 1


async def test_health_is_there_for_those_who_speak_no_grpc(serve: Any) -> None:
    async with serve("unet", observe_metrics_port=0) as served:
        port = served.server.metrics_port
        assert await get(port, "/healthz") == (200, "SERVING\n")
        assert (await get(port, "/"))[0] == 404
        assert await get(port, "/healthz") == (200, "SERVING\n")  # whatever was said before
        assert (await get(port, "/metrics/../etc/passwd"))[0] == 404
    with pytest.raises(OSError, match="refused"):
        await get(port, "/healthz")


async def test_without_a_port_nothing_listens(serve: Any) -> None:
    async with serve("unet") as served:
        assert served.server.metrics_port is None


async def test_a_port_for_metrics_that_is_taken_keeps_the_server_from_starting(serve: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartFailed, match=r"metrics cannot listen on 127\.0\.0\.1:"):
            async with serve("unet", observe_metrics_port=taken.getsockname()[1]):
                pass


def counted(model: Model, *events: Event) -> Mapping[Sample, float]:
    """What is scraped after these events, at a server that has this model."""
    from prometheus_client import generate_latest

    registry = CollectorRegistry()
    metrics = Metrics(registry, lambda: {model.name})
    for event in events:
        metrics(event)
    return samples(generate_latest(registry).decode())


@pytest.fixture
async def model(serve: Any) -> Model:
    async with serve("unet") as served:
        found: Model = served.server.repository.get("unet")
        return found


def test_tiles_and_what_they_compute_twice_are_counted(model: Model) -> None:
    plan = Plan(model, (100, 200), (100, 200), RouteKind.TILED, 6)
    timing = Timing(0.25, 0.5, 2.0, 1.0)
    told = counted(model, Answered("Predict", plan, 1, 30_000, timing, took_s=3.0))
    assert told[at("anyres_answer_seconds_sum", model="unet", megapixels="up to 0.1")] == 3
    assert told[at("anyres_tiles_total", model="unet")] == 6
    assert told[at("anyres_image_pixels_total", model="unet")] == 20_000
    assert told[at("anyres_computed_pixels_total", model="unet")] == 30_000
    assert told[at("anyres_padding_ratio_sum", model="unet")] == 1.5
    for stage, seconds in (("decode", 0.25), ("queue", 0.5), ("compute", 2.0), ("reduce", 1.0)):
        assert told[at("anyres_stage_seconds_sum", model="unet", stage=stage)] == seconds


def test_runs_are_counted_with_their_images_and_against_their_prediction(model: Model) -> None:
    told = counted(
        model,
        Ran(model, (8, 8), 4, 2, 1000, 0.5, 1.0),
        Ran(model, (8, 8), 2, 2, 1000, None, 3.0),  # nothing was predicted yet
    )
    assert told[at("anyres_batch_images_count", model="unet")] == 2
    assert told[at("anyres_batch_images_sum", model="unet")] == 6
    assert told[at("anyres_run_seconds_total", model="unet")] == 4
    assert told[at("anyres_prediction_ratio_count", model="unet")] == 1
    assert told[at("anyres_prediction_ratio_sum", model="unet")] == 2


def test_what_was_refused_is_counted_by_its_reason(model: Model) -> None:
    told = counted(
        model,
        Refused("Predict", "unet", Problem.OVERLOADED, "TooLarge", 0.1),
        Refused("Predict", "made up", Problem.OVERLOADED, "Overloaded", 0.1),
        Left("Predict", "made up", 0.1),
        Ended("Predict", "CANCELLED", 0.1),
    )
    assert told[at("anyres_refused_total", call="Predict", reason="TooLarge")] == 1
    assert told[at("anyres_refused_total", call="Predict", reason="Overloaded")] == 1
    code = "RESOURCE_EXHAUSTED"
    assert told[at("anyres_requests_total", call="Predict", model="unet", code=code)] == 1
    assert told[at("anyres_requests_total", call="Predict", model="", code=code)] == 1
    assert told[at("anyres_cancelled_total", call="Predict", model="")] == 1
