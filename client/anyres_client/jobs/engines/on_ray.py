"""Ray as an engine: whether it can be had, what it is told before it is imported, and its end."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import environ

from anyres_client.connection import Connection
from anyres_client.errors import InvalidRequest, Unavailable
from anyres_client.jobs.engines import Engine
from anyres_client.jobs.job import Job
from anyres_client.local import LocalConnection

KNOCK_S = 5.0


@asynccontextmanager
async def on_ray(job: Job, connection: Connection, timeout_s: float) -> AsyncIterator[Engine]:
    """The engine, on a cluster that is joined or begun; before this process asks any server.

    Ray begins its processes by forks, which may hang where gRPC has threads already.

    Raises:
        InvalidRequest: the server is this process itself; or what connects from outside a cluster,
            which Ray Data does not.
        Unavailable: there is no such cluster, or it has nothing to spare.
        ClientError: the server says at once that the job cannot be.
    """
    _check(connection, job.ray_address)
    await asyncio.to_thread(_knock, job.ray_address)
    _tell(alone=job.ray_address is None)
    from anyres_client.jobs.engines.asking_first import ask_first
    from anyres_client.jobs.engines.ray_data import RayData, join, leave, turn

    await ask_first(job, connection)
    try:
        await asyncio.to_thread(join, job)
        await turn(job)
        yield RayData(connection, timeout_s)
    finally:
        await asyncio.to_thread(leave)


def _check(connection: Connection, address: str | None) -> None:
    if isinstance(connection, LocalConnection):
        raise InvalidRequest(
            "--local answers in one process, and Ray's are many: start `anyres serve`, and give "
            "its address to --server"
        )
    if address is not None and "://" in address:
        raise InvalidRequest(
            f"Ray Data runs inside a cluster: start the job on one of its machines with "
            f"--ray-address HOST:6379, or auto; got {address}"
        )


def _knock(address: str | None) -> None:
    """Ray itself would try for minutes to reach a head that is not there."""
    host, _, port = (address or "").rpartition(":")
    if not port.isdecimal():
        return  # "auto" is found through this machine's files
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except OSError as error:
        raise Unavailable(f"no Ray cluster answers ({address})") from error


def _tell(*, alone: bool) -> None:
    """Ray reads these once: it reports to nobody, and joins nothing that it was not told to.

    A cluster that is the job's alone has a secret of its own; Ray would leave one in the home.
    """
    environ["RAY_USAGE_STATS_ENABLED"] = "0"
    environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    if alone and "RAY_AUTH_MODE" not in environ:
        environ["RAY_AUTH_MODE"] = "token"
        environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
