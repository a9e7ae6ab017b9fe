"""What a server counts, for Prometheus: a registry of its own, filled by events.

Labels are bounded: `call` is a call that is served, `code` and `reason` are among a few, and
`model` is a model that the server has or had; whatever else a caller names is counted under "".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import singledispatchmethod
from math import prod
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram

from anyres_server.model import RouteKind, Size
from anyres_server.observe.events import Answered, Ended, Event, Left, Ran, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
OVERHEADS = (1, 1.05, 1.1, 1.25, 1.5, 2, 3, 5)
RATIOS = (0.25, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 4)
SIZES = ((10**5, "up to 0.1"), (10**6, "up to 1"), (10**7, "up to 10"), (10**8, "up to 100"))


@dataclass(frozen=True, eq=False)
class Series:
    """The counters and histograms; times in seconds."""

    calls: Counter
    call_seconds: Histogram
    requests: Counter
    images: Counter
    image_pixels: Counter
    computed_pixels: Counter
    answers: Histogram
    padding: Histogram
    tiles: Counter
    stages: Histogram
    refused: Counter
    cancelled: Counter
    batches: Histogram
    run_seconds: Counter
    ratio: Histogram


def series(registry: CollectorRegistry) -> Series:
    """All of them, none counted yet."""

    def counter(name: str, text: str, *labels: str) -> Counter:
        return Counter(f"anyres_{name}", text, labels, registry=registry)

    def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"anyres_{name}", text, labels, buckets=buckets, registry=registry)

    return Series(
        calls=counter("calls", "gRPC calls that ended; a stream is one", "call", "code"),
        call_seconds=histogram("call_seconds", "from first to last byte", SECONDS, "call"),
        requests=counter("requests", "requests that ended", "call", "model", "code"),
        images=counter("images", "images answered", "model"),
        image_pixels=counter("image_pixels", "pixels of images answered", "model"),
        computed_pixels=counter("computed_pixels", "pixels put into networks", "model"),
        answers=histogram("answer_seconds", "of an image's size", SECONDS, "model", "megapixels"),
        padding=histogram("padding_ratio", "computed pixels / image pixels", OVERHEADS, "model"),
        tiles=counter("tiles", "pieces of images that were cut", "model"),
        stages=histogram("stage_seconds", "parts of a request", SECONDS, "model", "stage"),
        refused=counter("refused", "requests that got an error", "call", "reason"),
        cancelled=counter("cancelled", "requests whose caller left", "call", "model"),
        batches=histogram("batch_images", "images of a network's run", BATCHES, "model"),
        run_seconds=counter("run_seconds", "a network's runs, in all", "model"),
        ratio=histogram("prediction_ratio", "measured / predicted seconds", RATIOS, "model"),
    )


def size_class(size: Size) -> str:
    """In megapixels, as a label: one of five."""
    return next((name for most, name in SIZES if prod(size) <= most), "more")


class Metrics:
    """Counts events; `models` says which names there are."""

    def __init__(self, registry: CollectorRegistry, models: Callable[[], Collection[str]]) -> None:
        self._series = series(registry)
        self._models = models

    def __call__(self, event: Event) -> None:
        """Count it."""
        self._count(event)

    @singledispatchmethod
    def _count(self, event: Event) -> None:
        raise TypeError(f"no metric counts {type(event).__name__}")

    @_count.register
    def _ended(self, event: Ended) -> None:
        self._series.calls.labels(event.call, event.code).inc()
        self._series.call_seconds.labels(event.call).observe(event.took_s)

    @_count.register
    def _answered(self, event: Answered) -> None:
        model, kept = event.plan.model.name, self._series
        pixels = event.images * prod(event.plan.image_size)
        kept.requests.labels(event.call, model, "OK").inc()
        kept.images.labels(model).inc(event.images)
        kept.image_pixels.labels(model).inc(pixels)
        kept.computed_pixels.labels(model).inc(event.computed_pixels)
        kept.answers.labels(model, size_class(event.plan.image_size)).observe(event.took_s)
        kept.padding.labels(model).observe(event.computed_pixels / pixels)
        if event.plan.route is RouteKind.TILED:
            kept.tiles.labels(model).inc(event.plan.pieces)
        for stage in ("decode", "queue", "compute", "reduce"):
            kept.stages.labels(model, stage).observe(getattr(event.timing, f"{stage}_s"))

    @_count.register
    def _refused(self, event: Refused) -> None:
        model, code = self._known(event.model), event.problem.code.name
        self._series.requests.labels(event.call, model, code).inc()
        self._series.refused.labels(event.call, event.reason).inc()

    @_count.register
    def _left(self, event: Left) -> None:
        model = self._known(event.model)
        self._series.requests.labels(event.call, model, "CANCELLED").inc()
        self._series.cancelled.labels(event.call, model).inc()

    @_count.register
    def _ran(self, event: Ran) -> None:
        model = event.model.name
        self._series.batches.labels(model).observe(event.images)
        self._series.run_seconds.labels(model).inc(event.compute_s)
        if event.predicted_s:
            self._series.ratio.labels(model).observe(event.compute_s / event.predicted_s)

    def _known(self, model: str) -> str:
        return model if model in self._models() else ""
