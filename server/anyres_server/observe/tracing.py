"""Spans of a request and its stages, for OpenTelemetry; whoever sent `traceparent` finds its own.

Only OpenTelemetry's interface is needed for that, and without a provider all of it does nothing.
The extra `otel` brings the provider that sends spans to a collector.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from time import time_ns
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from anyres_server.errors import StartFailed
from anyres_server.observe.asked import Asked, asked
from anyres_server.observe.events import Answered, Event
from anyres_server.observe.share import Share

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as Sending

NAME = "anyres"
EXPORT_S = 5  # for a collector to take a batch: a server that stops waits for the last
_PROPAGATOR = TraceContextTextMapPropagator()
_CARRIED = ("traceparent", "tracestate")


class Tracing:
    """Makes the spans of calls."""

    def __init__(self, provider: TracerProvider) -> None:
        self.tracer: Tracer = provider.get_tracer(NAME)

    @contextmanager
    def call(
        self, method: str, metadata: Sequence[tuple[str, str | bytes]], request_id: str
    ) -> Iterator[Span]:
        """The span of one call, a child of the caller's."""
        service, _, name = method.strip("/").partition("/")
        carrier = {
            key: value for key, value in metadata if key in _CARRIED and isinstance(value, str)
        }
        with self.tracer.start_as_current_span(
            f"{service}/{name}",
            context=_PROPAGATOR.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "anyres.request_id": request_id,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    def ended(self, span: Span, code: grpc.StatusCode, request: Asked) -> None:
        """What is known of a call once it is over."""
        if span.is_recording():
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            span.set_attribute("anyres.model", request.model)
            span.set_attribute("anyres.caller", request.caller)
            if code is not grpc.StatusCode.OK:
                span.set_status(Status(StatusCode.ERROR, code.name))


def stage(name: str, **attributes: int | str) -> AbstractContextManager[Any]:
    """The span of a part of the request that is worked for; nothing outside of any."""
    request = asked()
    if request is None:
        return nullcontext()
    return request.tracer.start_as_current_span(name, attributes=attributes)


def passed(name: str, seconds: float, *, ago_s: float = 0.0) -> None:
    """The span of a part that is over, and ended so long ago: whoever timed it tells."""
    request = asked()
    if request is None or not trace.get_current_span().is_recording():
        return
    end = time_ns() - round(ago_s * 1e9)
    span = request.tracer.start_span(name, start_time=end - round(seconds * 1e9))
    span.end(end)


def describe(event: Event) -> None:
    """Write what an answer was into the span that it belongs to."""
    span = trace.get_current_span()
    if isinstance(event, Answered) and span.is_recording():
        height, width = event.plan.image_size
        span.set_attributes(
            {
                "anyres.image": f"{width}x{height}",
                "anyres.images": event.images,
                "anyres.route": event.plan.route.value,
                "anyres.pieces": event.plan.pieces,
            }
        )


@asynccontextmanager
async def provider(traces_to: str | None, share: Share) -> AsyncIterator[TracerProvider]:
    """Where spans go: to a collector, or else wherever this process's own provider sends them.

    Raises:
        StartFailed: a collector is named, and the extra `otel` is not installed.
    """
    if traces_to is None:
        yield trace.get_tracer_provider()
        return
    sending = _provider(traces_to, share)
    try:
        yield sending
    finally:
        await asyncio.to_thread(sending.shutdown)  # sends what it still has


def _provider(traces_to: str, share: Share) -> Sending:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as Sending
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased

        from anyres_server.observe.sampling import ShareSampler
    except ModuleNotFoundError as error:
        raise StartFailed(
            "observe.traces_to needs more packages: pip install 'anyres[server,otel]'"
        ) from error
    sending = Sending(
        sampler=ParentBased(ShareSampler(share)),
        resource=Resource.create({"service.name": NAME}),
        shutdown_on_exit=False,
    )
    plain = not traces_to.startswith("https:")
    exporter = OTLPSpanExporter(endpoint=traces_to, insecure=plain, timeout=EXPORT_S)
    sending.add_span_processor(BatchSpanProcessor(exporter))
    return sending
