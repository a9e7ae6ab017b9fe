"""`TraceSetting`: which requests are traced, changed by a stock client while the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from tests.server.stock import stock

ZEROS = {"model": "stride4", "name": "x", "values": np.zeros((1, 3, 8, 8)).tolist()}


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps the names of the spans that it is sent."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def Export(  # noqa: N802 - the wire's name
        self, request: otlp.ExportTraceServiceRequest, context: Any
    ) -> otlp.ExportTraceServiceResponse:
        self.names += [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return otlp.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    """A collector in a thread of its own, and its address."""
    collector = Collector()
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        add: Any = otlp_grpc.add_TraceServiceServicer_to_server
        add(collector, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}", collector
        server.stop(None).wait()


def updated(**settings: Any) -> tuple[str, dict[str, Any]]:
    return "update_trace_settings", {"settings": settings, "as_json": True}


async def test_tracing_is_switched_off_and_on_and_back_to_what_it_was(serve: Any) -> None:
    with collecting() as (address, collector):
        async with serve("stride4", observe_traces_to=address) as served:
            outcomes = await stock(
                served.server.port,
                ("get_trace_settings", {"as_json": True}),
                updated(trace_level=["OFF"], trace_rate="1000"),
                ("infer", ZEROS),
                updated(trace_level=None, trace_rate=None),
                ("infer", ZEROS),
                ("infer", ZEROS),
            )
            about = await stock(served.server.port, ("get_server_metadata", {"as_json": True}))
    usual = {
        "trace_mode": {"value": ["opentelemetry"]},
        "trace_level": {"value": ["TIMESTAMPS"]},
        "trace_rate": {"value": ["1"]},
    }
    off = {"trace_level": {"value": ["OFF"]}, "trace_rate": {"value": ["1000"]}}
    assert outcomes[0]["value"]["settings"] == usual
    assert outcomes[1]["value"]["settings"] == usual | off
    assert outcomes[3]["value"]["settings"] == usual
    assert "trace" in about[0]["value"]["extensions"]
    assert sum(name.endswith("/ModelInfer") for name in collector.names) == 2


async def test_a_trace_setting_that_is_not_one_changes_nothing(serve: Any) -> None:
    wrong = [
        (updated(trace_file="/tmp/x"), "'trace_file' is not one that can be changed"),
        (updated(trace_level="TENSORS"), "OFF or TIMESTAMPS; got 'TENSORS'"),
        (updated(trace_rate="0"), "a number from 1 on; got '0'"),
        (updated(trace_rate="9" * 5000), "a number from 1 on"),
        (updated(trace_level="OFF", trace_rate=["1", "2"]), "has one value; got 2"),
        (
            ("update_trace_settings", {"model_name": "stride4", "settings": {}}),
            "of the whole server",
        ),
    ]
    with collecting() as (address, _):
        async with serve("stride4", observe_traces_to=address) as served:
            *outcomes, now = await stock(
                served.server.port,
                *(call for call, _ in wrong),
                ("get_trace_settings", {"as_json": True}),
            )
    for outcome, (_, words) in zip(outcomes, wrong, strict=True):
        assert outcome["status"] == "StatusCode.INVALID_ARGUMENT"
        assert words in outcome["message"]
    assert now["value"]["settings"]["trace_level"]["value"] == ["TIMESTAMPS"]


async def test_a_server_that_sends_no_traces_promises_none(serve: Any) -> None:
    async with serve("stride4") as served:
        traces, about = await stock(
            served.server.port,
            ("get_trace_settings", {}),
            ("get_server_metadata", {"as_json": True}),
        )
    assert traces["status"] == "StatusCode.UNIMPLEMENTED"
    assert "trace" not in about["value"]["extensions"]
