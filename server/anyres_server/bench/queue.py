"""What the processes of a benchmark share: the place in the list of requests, and orders.

All are started afresh (spawned): a process that has used gRPC must not be forked.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

SPAWN = multiprocessing.get_context("spawn")
PATIENCE_S = 300.0  # for anything that another process does
Place: TypeAlias = "Any"  # a shared integer: multiprocessing has no type for it

# malloc gives large blocks back to the kernel and gets every page anew; a process that does the
# same work over and over keeps them. Numbers from malloc.h.
KEEP = ((-3, 32 * 2**20), (-1, 512 * 2**20))  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


class OtherEnded(Exception):
    """A process of the benchmark has ended, or says nothing."""


def place() -> Place:
    """A new place in a list, at its beginning."""
    return SPAWN.Value("q", 0)


def taken(place: Place, count: int) -> Iterator[int]:
    """Indices below `count` that nobody else has taken, one at a time."""
    while True:
        with place.get_lock():
            index = int(place.value)
            place.value = index + 1
        if index >= count:
            return
        yield index


def heard(connection: Connection, whom: str) -> Any:
    """The next word of another process.

    Raises:
        OtherEnded: it has ended, or is silent for too long.
    """
    try:
        if connection.poll(PATIENCE_S):
            return connection.recv()
    except EOFError as error:
        raise OtherEnded(f"{whom} has ended") from error
    raise OtherEnded(f"{whom} says nothing for {PATIENCE_S:g} s")


def keep_memory() -> None:
    """Let this process keep what it frees."""
    for option, value in KEEP:
        ctypes.CDLL(None).mallopt(option, value)
