"""Reads what callers send, while there is memory for it and for so long at most.

How large a message is stands nowhere until it is here, and many large ones at once would fill the
memory before anybody had looked at them. So nothing is read while the process holds more than it
may, and if it comes to hold more while it reads, those who began last are told to come again, half
of them at a time, until it holds less.

Of a stream whose messages stand for themselves no more is read once the server is told to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio

from anyres_server.errors import (
    InvalidRequest,
    Overloaded,
    ServingError,
    StartFailed,
    Unavailable,
)
from anyres_server.machine import mib, resident_bytes, trim_memory

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

LOOK_EVERY_S = 0.02
SMALL_BYTES = 2**16


@dataclass(eq=False)
class _Read:
    """Somebody who waits for a message."""

    timeout: asyncio.Timeout
    ends: bool  # whether it ends when the server stops
    why: ServingError | None = None  # it was sent away

    def send_away(self, why: ServingError) -> None:
        if self.why is None and not self.timeout.expired():
            self.why = why
            self.timeout.reschedule(asyncio.get_running_loop().time())


class Messages:
    """Await `next` for a message; keep `watched` open meanwhile."""

    def __init__(
        self,
        most_bytes: int,
        held: Callable[[], int] = resident_bytes,
        trim: Callable[[], None] = trim_memory,
    ) -> None:
        self._most_bytes = most_bytes
        self._held = held
        self._trim = trim
        self._trimming = False
        self._reading: dict[_Read, None] = {}  # in the order in which they began
        self._somebody = asyncio.Event()
        self._closed = False

    async def next(
        self,
        context: Context,
        *,
        within_s: float | None = None,
        ends: bool = False,
        always: bool = False,
    ) -> bytes | None:
        """The next message as it came; None at the end of a stream.

        Args:
            context: the call's.
            within_s: how long it may take.
            ends: whether no more is read once the server is told to stop.
            always: whether it is read however much the process holds; a small one, that is. A
                server that cannot say that it lives would be killed for it.

        Raises:
            Overloaded: there is no memory for it.
            InvalidRequest: it did not come in time.
            Unavailable: the server is told to stop.
        """
        if not always:
            await self._room()
        if ends and self._closed:
            raise _closing()
        read = _Read(asyncio.timeout(within_s), ends)
        try:
            async with read.timeout:
                self._reading[read] = None
                self._somebody.set()
                message: Any = await context.read()
        except TimeoutError as late:
            why = read.why or InvalidRequest(f"the message did not arrive within {within_s:g} s")
            raise why from late
        finally:
            self._reading.pop(read, None)
        if message is grpc.aio.EOF:
            await asyncio.sleep(0)  # it also ends so where the caller left; then this raises
            return None
        if not (always and len(message) <= SMALL_BYTES):
            await self._room()  # else what was read is let go, before it is unpacked
        return bytes(message)

    def close(self) -> None:
        """The server is told to stop."""
        self._closed = True
        for read in self._reading:
            if read.ends:
                read.send_away(_closing())

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look at the memory while anybody reads, until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await self._somebody.wait()
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._reading:
                self._somebody.clear()
            elif self._held() > self._most_bytes:
                for read in list(self._reading)[len(self._reading) // 4 :]:
                    read.send_away(self._short())

    async def _room(self) -> None:
        if not await self._fits():
            raise self._short()

    async def _fits(self) -> bool:
        """Whether there is room, once what is free has gone back to the system.

        Of freed memory the allocator keeps some, and kept for ever it would close the door for
        ever. To give it back takes a while, so one asks for that and the others do not wait.
        """
        if self._held() <= self._most_bytes:
            return True
        if self._trimming:
            return False
        self._trimming = True
        try:
            await asyncio.to_thread(self._trim)
        finally:
            self._trimming = False
        return self._held() <= self._most_bytes

    def _short(self) -> Overloaded:
        return Overloaded(
            f"the server holds more than {mib(self._most_bytes)} and reads no message before it "
            f"holds less; try again later"
        )


def check_resident(most_bytes: int) -> None:
    """Refuse to start with less than the process holds before anybody has asked it anything.

    Raises:
        StartFailed: it would read no message.
    """
    if resident_bytes() > most_bytes:
        trim_memory()
    if (held := resident_bytes()) > most_bytes:
        raise StartFailed(
            f"memory.resident: with its models the process holds {mib(held)}, so it would read no "
            f"message; expected more than that, and room for messages; got {mib(most_bytes)}"
        )


def _closing() -> Unavailable:
    return Unavailable("the server is shutting down")
