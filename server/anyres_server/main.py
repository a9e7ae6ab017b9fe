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
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc
from anyres_server.allocator import keep_freed
from anyres_server.core import Answering, OpenEngine, Stock, at_work, stocked
from anyres_server.dense import service
from anyres_server.dense.service import DensePredictionService
from anyres_server.inference.inference import Inference
from anyres_server.model import Model
from anyres_server.observe.events import telling
from anyres_server.observe.logs import log_to_stderr
from anyres_server.observe.now import Lent
from anyres_server.observe.prometheus import Scraped, prometheus
from anyres_server.oip import service as oip
from anyres_server.oip.statistics import Statistics
from anyres_server.repository.entries import Models, newest
from anyres_server.repository.repository import Repository
from anyres_server.repository.watching import watching
from anyres_server.rpc.address import check_addresses
from anyres_server.rpc.front import Front, front
from anyres_server.rpc.messages import check_resident
from anyres_server.schedule.admission import Budget
from anyres_server.settings.settings import Settings

log = logging.getLogger(__name__)

SERVICES = (service.NAME, oip.NAME)


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
        StartFailed: the models' folder is not there, the port is taken, a setting cannot be.
    """
    async with AsyncExitStack() as stack:
        stock = stack.enter_context(stocked(settings, opening))
        repository = stock.repository
        statistics = Statistics(repository)
        counted = stack.enter_context(_prometheus(settings, stock))
        tell = telling([counted.tell, statistics])
        entrance = await stack.enter_async_context(front(settings, SERVICES, tell))
        answering = await stack.enter_async_context(at_work(settings, stock, tell))
        _add_services(entrance, settings, repository, answering, statistics)
        port = entrance.listen()
        await entrance.server.start()
        try:
            await repository.start()
            check_resident(settings.memory.resident)
            async with watching(repository, settings.models, settings.repository):
                repository.hear(lambda models: entrance.health.follow(_ready(models)))
                entrance.health.start()
                yield Running(port, repository, answering.inference, counted.port)
        finally:
            await entrance.stop(stock.admitted.gate)


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
    check_addresses(settings)
    return asyncio.run(_checked(settings, opening))


async def _checked(settings: Settings, opening: OpenEngine | None) -> Models:
    with stocked(settings, opening) as stock:
        async with front(settings, SERVICES, telling([])):
            await stock.repository.start()
            check_resident(settings.memory.resident)
    return stock.repository.models


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


def _add_services(
    entrance: Front,
    settings: Settings,
    repository: Repository,
    answering: Answering,
    statistics: Statistics,
) -> None:
    dense = DensePredictionService(
        repository,
        answering.inference,
        answering.strips,
        stream_in_flight=settings.limits.stream_in_flight,
        uploads=settings.uploads,
    )
    pb_grpc.add_DensePredictionServiceServicer_to_server(dense, entrance.server)
    oip.add_to(
        entrance.server,
        settings,
        repository,
        answering.inference,
        statistics,
        traced=entrance.traced,
    )


def _prometheus(settings: Settings, stock: Stock) -> AbstractContextManager[Scraped]:
    repository, admitted = stock.repository, stock.admitted

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
