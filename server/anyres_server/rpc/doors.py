"""A place among so many for each call, before anything of it is read.

There is a door for each kind of call, so that images cannot keep questions out, nor questions the
health checks that decide over the server's life. When it stops, those for work are closed; whether
it is ready, or alive, can be asked until the end.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum

from anyres_server.schedule.admission import Gate
from anyres_server.settings.sections import Limits


class Door(Enum):
    """The kinds of call, by how long they take and what they hold."""

    REQUESTS = "requests"
    STREAMS = "streams"
    QUESTIONS = "questions"
    HEALTH = "health checks"


HEALTH = frozenset(
    """grpc.health.v1.Health/Check grpc.health.v1.Health/Watch
    inference.GRPCInferenceService/ServerLive inference.GRPCInferenceService/ServerReady""".split()
)
REQUESTS = frozenset({"Predict", "ModelInfer"})
WORK = (Door.REQUESTS, Door.STREAMS)


def door_of(method: str, *, streams: bool) -> Door:
    """Which door a call takes; `method` is its full name, "/package.Service/Call"."""
    if method.strip("/") in HEALTH:
        return Door.HEALTH
    if streams:
        return Door.STREAMS
    return Door.REQUESTS if method.rpartition("/")[2] in REQUESTS else Door.QUESTIONS


class Doors:
    """All of them."""

    def __init__(self, limits: Limits) -> None:
        self._gates = {
            door: Gate(
                limits.requests if door is Door.REQUESTS else limits.streams,
                door.value,
            )
            for door in Door
        }

    def entered(self, door: Door) -> AbstractContextManager[None]:
        """Be inside for a while.

        Raises:
            Overloaded: as many as may be are inside.
            Unavailable: it is closed.
        """
        return self._gates[door].entered()

    def close(self) -> None:
        """Let no more work in."""
        for door in WORK:
            self._gates[door].close()

    async def emptied(self) -> None:
        """Wait until all work that was let in is done, its answers written."""
        for door in WORK:
            await self._gates[door].emptied()
