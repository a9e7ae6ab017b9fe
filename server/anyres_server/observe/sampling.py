"""The sampler of OpenTelemetry's SDK that follows a `Share`; imported where the SDK is there."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult, TraceIdRatioBased

from anyres_server.observe.share import Share


class ShareSampler(Sampler):
    """Traces the share that holds at the moment."""

    def __init__(self, share: Share) -> None:
        self._share = share

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *more: Any, **named: Any
    ) -> SamplingResult:
        """Decide by the trace's id, so that every service on its way decides alike."""
        now = TraceIdRatioBased(self._share.now)
        return now.should_sample(parent_context, trace_id, name, *more, **named)

    def get_description(self) -> str:
        """What it is, for a trace's own record."""
        return f"Share({self._share.now})"
