"""A file on its way: the event loop puts in what has come, a thread reads it as if it were there.

    Pipe     holds a few chunks, and what was read is gone (`pipe`)
    Spool    a file on disk that has no name (`spool`)

Reading blocks until there is something, and ends when the sender does: a thread never waits longer
than the sender is waited for.
"""

from __future__ import annotations

import threading
from typing import Protocol

from anyres_server.errors import ServingError


class Arriving(Protocol):
    """What a pipe and a spool are to the one who sends; all but `put` return at once."""

    async def put(self, chunk: bytes) -> None:
        """Take what has come; waits while there is no room for it."""

    def end(self, failure: ServingError | None = None) -> None:
        """No more comes: that was all, or something went wrong that readers are told."""

    def close(self) -> None:
        """Nobody reads it any more."""


class ByteFile(Protocol):
    """What a pipe and a spool are to the one who reads; all of it may block."""

    @property
    def arrived(self) -> int:
        """Bytes that have come so far."""

    def read(self, most: int = -1) -> bytes:
        """So many bytes, or all that are left; fewer only at the end.

        Raises:
            ServingError: the sender failed.
        """

    def read_some(self, most: int) -> bytes:
        """What is there, up to `most` bytes; at least one, except at the end.

        Raises:
            ServingError: the sender failed.
        """

    def seek(self, position: int, whence: int = 0) -> int:
        """Go to a place; where that is."""

    def tell(self) -> int:
        """Where the next read begins."""


class Progress:
    """How much has come, and whether more will; readers wait on `changed`."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.arrived = 0  # bytes
        self.ended = False
        self._failure: ServingError | None = None

    def end(self, failure: ServingError | None) -> None:
        """The first end counts."""
        with self.changed:
            if not self.ended:
                self.ended, self._failure = True, failure
            self.changed.notify_all()

    def check(self) -> None:
        """Raise what went wrong, if something did."""
        if self._failure is not None:
            raise self._failure
