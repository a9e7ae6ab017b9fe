"""What `ModelStatistics` counts: every request, every image and every run of a network.

Told each event, it adds up; times are those of requests, so that a client's tool sees where they
went. A request of several pictures is answered picture by picture, and counts once. One that was
refused is counted for the version that it would have got, if there is one: names that callers made
up take no memory here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from time import time_ns
from typing import TypeAlias
from weakref import WeakSet

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import ServingError
from anyres_server.model import Model
from anyres_server.observe.asked import Asked, asked
from anyres_server.observe.events import Answered, Event, Left, Ran, Refused
from anyres_server.repository.repository import Repository

Key: TypeAlias = tuple[str, str]  # name, version
Now: TypeAlias = Callable[[], int]

NS_PER_S = 1e9
NS_PER_MS = 10**6


@dataclass
class _Sum:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, times: int = 1) -> None:
        self.count += times
        self.ns += round(seconds * NS_PER_S)

    def message(self) -> pb.StatisticDuration:
        return pb.StatisticDuration(count=self.count, ns=self.ns)


@dataclass
class _Counters:
    """Of one version of a model."""

    last_ms: int = 0
    images: int = 0
    success: _Sum = field(default_factory=_Sum)
    fail: _Sum = field(default_factory=_Sum)
    queue: _Sum = field(default_factory=_Sum)
    decode: _Sum = field(default_factory=_Sum)
    compute: _Sum = field(default_factory=_Sum)
    reduce: _Sum = field(default_factory=_Sum)
    runs: dict[int, _Sum] = field(default_factory=dict)  # by batch size


class Statistics:
    """Counts events; a `Tell`."""

    def __init__(self, repository: Repository, now_ns: Now = time_ns) -> None:
        self._repository = repository
        self._now_ns = now_ns
        self._counters: dict[Key, _Counters] = {}
        self._answered_before: WeakSet[Asked] = WeakSet()  # those of several images
        self._counting = Lock()  # networks run in threads

    def __call__(self, event: Event) -> None:
        """Count an event."""
        with self._counting:
            match event:
                case Answered():
                    self._answered(event)
                case Ran():
                    runs = self._of(event.model).runs
                    runs.setdefault(event.images, _Sum()).add(event.compute_s)
                case Refused() | Left():
                    self._failed(event)

    def counted(self, name: str, version: str) -> pb.ModelStatisticsResponse:
        """The counters of one version, of a model's versions, or of all, where not named.

        Raises:
            ModelNotFound: there is no such model or version.
            ModelBroken: the version that is named cannot be served.
        """
        with self._counting:
            return pb.ModelStatisticsResponse(
                model_stats=[
                    _message(model, self._of(model)) for model in self._models(name, version)
                ]
            )

    def _models(self, name: str, version: str) -> Iterator[Model]:
        if name and version:
            yield self._repository.get(name, version)
            return
        all_versions = (
            [self._repository.versions(name)] if name else self._repository.models.values()
        )
        for versions in all_versions:
            yield from (entry for entry in versions.values() if isinstance(entry, Model))

    def _answered(self, event: Answered) -> None:
        counters, timing, request = self._of(event.plan.model), event.timing, asked()
        times = int(request is None or request not in self._answered_before)
        if request is not None:
            self._answered_before.add(request)
        counters.last_ms = self._now_ns() // NS_PER_MS
        counters.images += event.images
        parts = (
            (counters.queue, timing.queue_s),
            (counters.decode, timing.decode_s),
            (counters.compute, timing.compute_s),
            (counters.reduce, timing.reduce_s),
        )
        for part, seconds in parts:
            part.add(seconds, times)
        counters.success.add(sum(seconds for _, seconds in parts), times)

    def _failed(self, event: Refused | Left) -> None:
        try:
            model = self._repository.get(event.model)
        except ServingError:
            return
        self._of(model).fail.add(event.took_s)

    def _of(self, model: Model) -> _Counters:
        return self._counters.setdefault((model.name, model.version), _Counters())


def _message(model: Model, counters: _Counters) -> pb.ModelStatistics:
    return pb.ModelStatistics(
        name=model.name,
        version=model.version,
        last_inference=counters.last_ms,
        inference_count=counters.images,
        execution_count=sum(run.count for run in counters.runs.values()),
        inference_stats=pb.InferStatistics(
            success=counters.success.message(),
            fail=counters.fail.message(),
            queue=counters.queue.message(),
            compute_input=counters.decode.message(),
            compute_infer=counters.compute.message(),
            compute_output=counters.reduce.message(),
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=size, compute_infer=run.message())
            for size, run in sorted(counters.runs.items())
        ],
    )
