"""A few chunks of a file between the event loop and a thread; what was read is gone.

Whoever sends waits while the pipe is full. Raw pixels, PNG and JPEG are read from front to back, so
nothing else of them needs a place.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque

from anyres_server.errors import InvalidRequest, ServingError
from anyres_server.machine import mib
from anyres_server.picture.arriving import Progress


class Pipe:
    """Holds up to `most_bytes` and one chunk more; made on the event loop that puts into it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._progress = Progress()
        self._chunks: deque[memoryview] = deque()
        self._held = 0
        self._closed = False
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def arrived(self) -> int:
        """Bytes that have come so far."""
        return self._progress.arrived

    @property
    def held_bytes(self) -> int:
        """What it may hold."""
        return 2 * self._most_bytes

    async def put(self, chunk: bytes) -> None:
        """Take what has come; waits while it is full."""
        while not self._taken(chunk):
            await self._room.wait()

    def _taken(self, chunk: bytes) -> bool:
        with self._progress.changed:
            if self._closed or not chunk:
                return True  # what nobody reads is let go
            if self._held >= self._most_bytes:
                self._room.clear()
                return False
            self._chunks.append(memoryview(chunk))
            self._held += len(chunk)
            self._progress.arrived += len(chunk)
            self._progress.changed.notify_all()
            return True

    def end(self, failure: ServingError | None = None) -> None:
        """No more comes."""
        self._progress.end(failure)

    def close(self) -> None:
        """Nobody reads it any more; on the event loop."""
        with self._progress.changed:
            self._closed = True
            self._chunks.clear()
            self._progress.end(None)
        self._room.set()

    def read(self, most: int) -> bytes:
        """The next bytes, up to `most`; none at the end. Blocks.

        Raises:
            ServingError: the sender failed.
        """
        progress = self._progress
        with progress.changed:
            progress.changed.wait_for(lambda: self._chunks or progress.ended)
            progress.check()
            if not self._chunks:
                return b""
            first = self._chunks.popleft()
            if len(first) > most:
                self._chunks.appendleft(first[most:])
            self._held -= min(most, len(first))
            room = self._held < self._most_bytes
        if room:
            self._loop.call_soon_threadsafe(self._room.set)
        return bytes(first[:most])


class Forward:
    """A pipe as a file; one can go back until `let_go`, within the first `most_kept` bytes."""

    def __init__(self, pipe: Pipe, most_kept: int) -> None:
        self._pipe = pipe
        self._most_kept = most_kept
        self._kept = bytearray()
        self._keeping = True
        self._at = 0

    @property
    def arrived(self) -> int:
        """Bytes that have come so far."""
        return self._pipe.arrived

    def read(self, most: int = -1) -> bytes:
        """So many bytes, or all that are left; fewer only at the end."""
        parts = bytearray()
        while (wanted := 2**20 if most < 0 else most - len(parts)) and (
            part := self.read_some(wanted)
        ):
            parts += part
        return bytes(parts)

    def read_some(self, most: int) -> bytes:
        """What is there, up to `most` bytes; at least one, except at the end."""
        if self._at < len(self._kept):
            part = bytes(self._kept[self._at : self._at + most])
        else:
            part = self._pipe.read(most)
            if self._keeping:
                self._keep(part)
        self._at += len(part)
        return part

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place that was read or, forward, to one that is still to come."""
        target = position + (self._at if whence == os.SEEK_CUR else 0)
        if whence == os.SEEK_END or not self._keeping:
            raise OSError("a pipe has no end yet, and no way back")
        self._at = min(target, len(self._kept))
        self.read(target - self._at)
        return self._at

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def let_go(self) -> None:
        """Start over, for the last time: what is read from here on is not kept."""
        self._at, self._keeping = 0, False

    def _keep(self, part: bytes) -> None:
        if len(self._kept) + len(part) > self._most_kept:
            raise InvalidRequest(
                f"the image's header takes more than {mib(self._most_kept)}; "
                "leave out what is no pixel"
            )
        self._kept += part
