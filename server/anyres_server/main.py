"""Builds a server out of its parts, runs it until it is told to stop, and stops it kindly.

    async with running_server(settings) as server:
        channel = grpc.aio.insecure_channel(f"localhost:{server.port}")

Told to stop, a server first says NOT_SERVING and refuses newcomers, then finishes what it has
begun, for `grace_s` at most, and only then closes its port.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from anyres_analyzer import analyze
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc
from anyres_server.allocator import keep_freed
from anyres_server.dense import service
from anyres_server.dense.service import DensePredictionService
from anyres_server.engine.providers import execution_of, provider_of
from anyres_server.engine.session import open_engine
from anyres_server.errors import ProviderMissing, StartFailed
from anyres_server.inference.bounds import Bounds
from anyres_server.inference.inference import Inference
from anyres_server.inference.off_loop import OffLoop
from anyres_server.inference.pieces import Pieces
from anyres_server.inference.strips import StripInference, strip_inference
from anyres_server.model import LoadedNetwork, Model
from anyres_server.observe.events import telling
from anyres_server.observe.logs import log_to_stderr
from anyres_server.observe.now import Lent
from anyres_server.observe.prometheus import Scraped, prometheus
from anyres_server.oip import service as oip
from anyres_server.oip.statistics import Statistics
from anyres_server.repository.agreement import Agreement
from anyres_server.repository.entries import Models, newest
from anyres_server.repository.loading import loader
from anyres_server.repository.opening import repository_of
from anyres_server.repository.repository import Repository
from anyres_server.repository.warm_up import Note
from anyres_server.repository.watching import watching
from anyres_server.routing.pace import Pace
from anyres_server.routing.router import Limits, Router
from anyres_server.rpc.front import Front, front
from anyres_server.schedule.admission import Admission, Budget, admission
from anyres_server.schedule.running import scheduling
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.settings import Settings

log = logging.getLogger(__name__)

SERVICES = (service.NAME, oip.NAME)


class OpenEngine(Protocol):
    """Loads a network; the seam between the server and what computes."""

    def __call__(self, path: Path, *, threads: int) -> LoadedNetwork:
        """Load an ONNX file."""


@dataclass(frozen=True, eq=False)
class Running:
    """A server that listens."""

    port: int
    repository: Repository
    inference: Inference
    metrics_port: int | None = None


@asynccontextmanager
async def running_server(
    settings: Settings, *, opening: OpenEngine | None = None
) -> AsyncIterator[Running]:
    """Load the models (with `opening`), listen, and stop in good order when the block ends.

    Raises:
        StartFailed: the models' folder is not there, or the port is taken.
    """
    async with AsyncExitStack() as stack:
        _check_provider(settings)
        pixels = stack.enter_context(ThreadPoolExecutor(settings.compute.threads, "pixels"))
        networks = stack.enter_context(ThreadPoolExecutor(settings.compute.threads, "networks"))
        loading = stack.enter_context(ThreadPoolExecutor(1, "loading"))
        admitted = admission(settings.limits.requests, settings.memory)
        pace = Pace()
        repository = _repository(settings, opening, loading, admitted, pace.note)
        statistics = Statistics(repository)
        counted = stack.enter_context(_prometheus(settings, repository, admitted))
        tell = telling([counted.tell, statistics])
        entrance = await stack.enter_async_context(front(settings, SERVICES, tell))
        batcher = await stack.enter_async_context(scheduling(settings, networks, pace, tell))
        bounds = Bounds(settings.limits.image_pixels, settings.limits.message_bytes)
        lanes = settings.compute.threads + 1
        pieces = Pieces(admitted.activations, batcher, pace, OffLoop(pixels), lanes)
        router = _router(settings, admitted)
        inference = Inference(admitted, router, pieces, bounds)
        strips = strip_inference(settings, admitted, router, pieces, inference)
        _add_services(entrance, settings, repository, inference, strips, statistics)
        port = entrance.listen()
        await entrance.server.start()
        try:
            await repository.start()
            async with watching(repository, settings.models, settings.repository):
                repository.hear(lambda models: entrance.health.follow(_ready(models)))
                entrance.health.start()
                yield Running(port, repository, inference, counted.port)
        finally:
            await entrance.stop(admitted.gate)


def run(settings: Settings, given: Iterable[str] = (), ignored: Iterable[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; the address goes to stdout once the models are loaded.

    Args:
        settings: of the server.
        given: those that somebody chose, in words, and who.
        ignored: variables that look like settings and are not.
    """
    log_to_stderr(settings.observe.log_level, settings.observe.log_format)
    log.info("settings: %s", settings.model_dump_json())
    for one in given:
        log.info("set: %s", one)
    for name in ignored:
        log.warning("%s is no setting: it has an address of Kubernetes' own", name)
    keep_freed(settings.memory.keep_freed)
    asyncio.run(_serve(settings))


def check(settings: Settings, *, opening: OpenEngine | None = None) -> Models:
    """Load and warm up every model, and read all that the settings name, without listening.

    Raises:
        StartFailed: what would keep the server from starting.
    """
    log_to_stderr("error", settings.observe.log_format)  # the answer says what is broken
    return asyncio.run(_checked(settings, opening))


async def _checked(settings: Settings, opening: OpenEngine | None) -> Models:
    _check_provider(settings)
    admitted = admission(settings.limits.requests, settings.memory)
    with ThreadPoolExecutor(1, "loading") as loading:
        repository = _repository(settings, opening, loading, admitted, Pace().note)
        async with front(settings, SERVICES, telling([])):
            await repository.start()
    return repository.models


async def _serve(settings: Settings) -> None:
    starting = asyncio.current_task()
    assert starting is not None
    _at_a_signal(starting.cancel)
    try:
        async with running_server(settings) as server:
            told_to_stop = asyncio.Event()
            _at_a_signal(told_to_stop.set)
            sys.stdout.write(f"listening on {settings.host}:{server.port}\n")
            sys.stdout.flush()
            await told_to_stop.wait()
            log.info("stopping: finishing what runs, for %g s at most", settings.grace_s)
    except asyncio.CancelledError:
        log.info("told to stop before the models were loaded")


def _at_a_signal(react: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, react)


def _check_provider(settings: Settings) -> None:
    """What all models are run with must be there, or nothing starts."""
    try:
        provider_of(execution_of(settings.compute, ModelSettings()))
    except ProviderMissing as error:
        raise StartFailed(f"compute.provider: {error}") from error


def _repository(
    settings: Settings,
    opening: OpenEngine | None,
    loading: Executor,
    admitted: Admission,
    note: Note,
) -> Repository:
    compute = settings.compute

    def opened(path: Path, own: ModelSettings) -> LoadedNetwork:
        threads = own.threads or compute.threads
        if opening:
            return opening(path, threads=threads)
        return open_engine(path, threads, execution_of(compute, own))

    judge = Agreement(
        partial(execution_of, compute),
        lambda path: open_engine(path, compute.threads),
        compute.agreement,
    )

    return repository_of(
        settings.models,
        settings.repository,
        pool=loading,
        load=loader(opened, analyze, judge),
        lent=admitted.activations.lent,
        note=note,
    )


def _router(settings: Settings, admitted: Admission) -> Router:
    memory = admitted.activations.total
    whole = min(settings.memory.whole_image, memory)
    return Router(Limits(memory, whole, min(settings.memory.tile, whole)))


def _add_services(
    entrance: Front,
    settings: Settings,
    repository: Repository,
    inference: Inference,
    strips: StripInference,
    statistics: Statistics,
) -> None:
    dense = DensePredictionService(
        repository,
        inference,
        strips,
        stream_in_flight=settings.limits.stream_in_flight,
        uploads=settings.uploads,
    )
    pb_grpc.add_DensePredictionServiceServicer_to_server(dense, entrance.server)
    oip.add_to(
        entrance.server,
        settings,
        repository,
        inference,
        statistics,
        traced=entrance.traced,
    )


def _prometheus(
    settings: Settings, repository: Repository, admitted: Admission
) -> AbstractContextManager[Scraped]:
    def lent(budget: Budget) -> Lent:
        return Lent(budget.total - budget.free, budget.total)

    return prometheus(
        (settings.observe.metrics_host or settings.host, settings.observe.metrics_port),
        lambda: _ready(repository.models),
        {
            "pictures": lambda: lent(admitted.pictures),
            "activations": lambda: lent(admitted.activations),
        },
        lambda: admitted.backlog.pixels,
        lambda: repository.ready and not admitted.gate.closed,
    )


def _ready(models: Models) -> dict[str, bool]:
    return {name: isinstance(newest(versions), Model) for name, versions in models.items()}
