"""Spans: in memory for what they say, and at a collector of our own for how they travel."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.errors import StartFailed

Png = Callable[[NDArray[Any]], bytes]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
SERVICE = "anyres.v1.DensePredictionService"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What this process's own provider gets, where the server is told of no collector."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return memory


@pytest.fixture
def predict(png: Png) -> pb.PredictRequest:
    image = pb.Image(encoded=png(np.zeros((64, 48, 3), np.uint8)))
    return pb.PredictRequest(model_name="unet", image=image)


def called(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in spans.get_finished_spans() if span.name == name]
    return found


async def test_a_call_is_a_span_of_the_callers_trace(
    serve: Any, spans: InMemorySpanExporter, predict: pb.PredictRequest
) -> None:
    async with serve("unet") as served:
        metadata = (*SAMPLED, ("x-request-id", "mine"))
        await served.stub.Predict(predict, metadata=metadata)
    span = called(spans, f"{SERVICE}/Predict")
    assert span.context is not None
    assert span.parent is not None
    assert trace.format_trace_id(span.context.trace_id) == TRACE
    assert trace.format_span_id(span.parent.span_id) == PARENT
    assert span.kind is trace.SpanKind.SERVER
    assert (
        dict(span.attributes or {}).items()
        >= {
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": "Predict",
            "rpc.grpc.status_code": 0,
            "anyres.request_id": "mine",
            "anyres.model": "unet",
            "anyres.image": "48x64",
            "anyres.route": "whole",
            "anyres.pieces": 1,
        }.items()
    )


async def test_the_stages_of_a_request_are_spans_below_its_own(
    serve: Any, spans: InMemorySpanExporter, predict: pb.PredictRequest
) -> None:
    async with serve("unet", memory_whole_image=2**15, memory_tile=2**15) as served:
        answer = await served.stub.Predict(predict, metadata=SAMPLED)
    assert answer.pieces > 1
    finished = spans.get_finished_spans()
    call = called(spans, f"{SERVICE}/Predict")
    assert call.context is not None
    tiles = [span for span in finished if span.name == "tile"]
    assert len(tiles) == answer.pieces
    assert {span.name for span in finished} >= {"decode", "queue", "compute", "reduce", "tile"}
    ids = {span.context.span_id: span for span in finished if span.context}
    for span in finished:
        assert ids[call.context.span_id] in ancestry(span, ids)
    for tile in tiles:
        assert tile.context is not None
        inside = [s for s in finished if s.parent and s.parent.span_id == tile.context.span_id]
        assert {span.name for span in inside} == {"decode", "queue", "compute", "reduce"}


def ancestry(span: ReadableSpan, ids: Any) -> Sequence[ReadableSpan]:
    above = [span]
    while above[-1].parent is not None and above[-1].parent.span_id in ids:
        above.append(ids[above[-1].parent.span_id])
    return above


async def test_a_call_that_fails_is_a_span_that_failed(
    serve: Any, spans: InMemorySpanExporter
) -> None:
    async with serve("unet") as served:
        call = served.stub.GetModel(pb.GetModelRequest(name="nobody's"))
        assert await call.code() is grpc.StatusCode.NOT_FOUND
    span = called(spans, f"{SERVICE}/GetModel")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description == "NOT_FOUND"
    assert span.events == ()  # no words of an error leave with it


@pytest.mark.parametrize("sent", ["", "00-nothing-01", f"00-{TRACE}-{PARENT}-01" * 100])
async def test_a_traceparent_that_is_none_begins_a_trace(
    serve: Any, spans: InMemorySpanExporter, sent: str
) -> None:
    async with serve("unet") as served:
        await served.stub.ListModels(pb.ListModelsRequest(), metadata=(("traceparent", sent),))
    assert called(spans, f"{SERVICE}/ListModels").parent is None


class Collector(TraceServiceServicer):
    """What an OTLP collector is asked."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.services: set[str] = set()

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the wire's name
        for sent in request.resource_spans:
            self.services |= {
                said.value.string_value
                for said in sent.resource.attributes
                if said.key == "service.name"
            }
            self.names += [span.name for scope in sent.scope_spans for span in scope.spans]
        return otlp.ExportTraceServiceResponse()


@pytest.mark.parametrize(("share", "arrive"), [(1.0, True), (0.0, False)])
async def test_spans_arrive_at_a_collector_and_as_many_as_are_wanted(
    serve: Any, share: float, arrive: bool
) -> None:
    collector = Collector()
    server = grpc.aio.server()
    add: Any = add_TraceServiceServicer_to_server  # it has no types
    add(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        traces_to = f"http://127.0.0.1:{port}"
        async with serve("unet", observe_traces_to=traces_to, observe_traced_share=share) as served:
            await served.stub.ListModels(pb.ListModelsRequest())
    finally:
        await server.stop(None)
    assert (f"{SERVICE}/ListModels" in collector.names) is arrive
    assert collector.services == ({"anyres"} if arrive else set())


async def test_a_collector_that_is_away_holds_nobody_up(serve: Any) -> None:
    async with asyncio.timeout(10):
        async with serve("unet", observe_traces_to="http://127.0.0.1:1") as served:
            await served.stub.ListModels(pb.ListModelsRequest())


async def test_without_the_extra_a_collector_cannot_be_named(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(StartFailed, match=r"pip install 'anyres\[server,otel\]'"):
        async with serve("unet", observe_traces_to="http://localhost:4317"):
            pass
