"""Who may come in, and how much memory they may take: both refuse at once rather than drown.

A `Gate` counts requests; beyond its limit, or once it is closed, nobody enters. A `Budget` counts
bytes; whoever needs more than is free waits in line, first come, first served.

A `Backlog` only counts: how many pixels are inside and not answered yet, waiting or not.

There are two budgets, and nobody waits for the first while holding the second, so nobody can wait
in a circle: one for pictures and results, held while a request lives, and one for activations, held
while one piece of it is in the network.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from anyres_server.errors import Overloaded, TooLarge, Unavailable
from anyres_server.machine import mib
from anyres_server.settings.sections import Memory


class Gate:
    """Lets in up to `limit` requests (or streams, ...) at a time, until it is closed."""

    def __init__(self, limit: int, what: str = "requests") -> None:
        self._limit = limit
        self._what = what
        self._inside = 0
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def closed(self) -> bool:
        """Whether nobody is let in any more."""
        return self._closed

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside for a while.

        Raises:
            Overloaded: as many as may be are inside.
            Unavailable: it is closed.
        """
        if self._closed:
            raise Unavailable("the server is shutting down")
        if self._inside >= self._limit:
            raise Overloaded(f"the queue is full ({self._limit} {self._what}); try again later")
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    def close(self) -> None:
        """Let nobody in any more; those inside stay."""
        self._closed = True

    async def emptied(self) -> None:
        """Wait until nobody is inside."""
        await self._empty.wait()


class Budget:
    """A number of bytes that is lent in pieces, in the order in which they were asked for."""

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self._what = what
        self._free = total
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        return self._free

    @asynccontextmanager
    async def lent(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` bytes for a while; waits until they are free.

        Raises:
            TooLarge: that is more than there ever will be.
        """
        if amount > self.total:
            raise TooLarge(self.refusal(amount))
        await self._take(amount)
        try:
            yield
        finally:
            self._give_back(amount)

    def refusal(self, amount: int) -> str:
        """Why more than there ever will be is refused."""
        return (
            f"this takes {mib(amount)} of memory for {self._what}, "
            f"and the server has {mib(self.total)} for all"
        )

    async def _take(self, amount: int) -> None:
        if not self._line and amount <= self._free:
            self._free -= amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._serve()  # whoever stood behind may be next
            else:
                self._give_back(amount)  # the turn came just as the caller left
            raise

    def _give_back(self, amount: int) -> None:
        self._free += amount
        self._serve()

    def _serve(self) -> None:
        while self._line and (self._line[0][1].done() or self._line[0][0] <= self._free):
            amount, turn = self._line.popleft()
            if not turn.done():
                self._free -= amount
                turn.set_result(None)


class Backlog:
    """Pixels of images that were let in and are not answered yet."""

    def __init__(self) -> None:
        self.pixels = 0

    @contextmanager
    def holding(self, pixels: int) -> Iterator[None]:
        """So many more, for a while."""
        self.pixels += pixels
        try:
            yield
        finally:
            self.pixels -= pixels


@dataclass(frozen=True, eq=False)
class Admission:
    """The gate, and the memory that those inside share."""

    gate: Gate
    pictures: Budget  # pixels and results
    activations: Budget  # what networks hold while they run
    backlog: Backlog = field(default_factory=Backlog)

    @asynccontextmanager
    async def held(self, pixels: int, amount: int) -> AsyncIterator[None]:
        """Be an image of so many pixels that waits for memory, has it, and leaves.

        Raises:
            TooLarge: that is more memory than there ever will be.
        """
        with self.backlog.holding(pixels):
            async with self.pictures.lent(amount):
                yield


def admission(max_requests: int, memory: Memory) -> Admission:
    """A gate, and the two budgets."""
    return Admission(
        Gate(max_requests),
        Budget(memory.pictures, "pictures and results"),
        Budget(memory.activations, "activations"),
    )
