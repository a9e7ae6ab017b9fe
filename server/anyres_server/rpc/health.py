"""`grpc.health.v1.Health`: the server, its services, and every model by its name.

The service that comes with grpcio-health-checking holds a lock while it writes to a watcher, so one
that does not read keeps everybody from being told, the server's own stop included; and a watcher
who leaves takes the others' news with it. Here a watcher has an event of its own, and nobody waits
for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from anyres_server.errors import ModelNotFound
from anyres_server.rpc.access import CALLER

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Status: TypeAlias = Any  # the stubs have no name for it

NAME = "grpc.health.v1.Health"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Health(health_pb2_grpc.HealthServicer):
    """Says what can be asked; "" is the server."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(("", *services))
        self._models: Mapping[str, bool] = {}
        self._serving = False
        self._watchers: set[asyncio.Event] = set()

    @property
    def serving(self) -> bool:
        """Whether the server says that it serves."""
        return self._serving

    def start(self) -> None:
        """From now on the server serves."""
        self._serving = True
        self._tell()

    def follow(self, models: Mapping[str, bool]) -> None:
        """These are the models, and whether each can be asked."""
        self._models = dict(models)
        self._tell()

    def stop(self) -> None:
        """From now on nothing is served."""
        self._serving = False
        self._tell()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:  # noqa: N802 - the wire's name
        """Say it once."""
        self._check(request.service)
        status = self._status(request.service)
        if status is None:
            raise ModelNotFound(f"there is no service and no model {request.service!r}")
        return HealthCheckResponse(status=status)

    # The stubs know only generators; grpc.aio takes coroutines that write, too.
    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:  # noqa: N802 - the wire's name
        """Say it now, and at every change."""
        self._check(request.service)
        news = asyncio.Event()
        self._watchers.add(news)
        said: Status | None = None
        try:
            while True:
                news.clear()
                status = self._status(request.service)
                now = HealthCheckResponse.SERVICE_UNKNOWN if status is None else status
                if now != said:
                    await context.write(HealthCheckResponse(status=now))
                    said = now
                await news.wait()
        finally:
            self._watchers.discard(news)

    def _check(self, name: str) -> None:
        """The server's health is everyone's to know; a model's is for those who may use it."""
        caller = CALLER.get()
        if name not in self._services and caller is not None:
            caller.check(name)

    def _status(self, name: str) -> Status | None:
        if name not in self._services and name not in self._models:
            return None
        ready = name in self._services or self._models[name]
        return SERVING if ready and self._serving else NOT_SERVING

    def _tell(self) -> None:
        for news in self._watchers:
            news.set()
