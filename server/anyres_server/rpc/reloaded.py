"""A value that stands in files, and is read again when they change.

The files are looked at a few times a second: that works where the kernel tells of no change, as in
network folders, and where a secret is replaced by turning a link, as orchestrators do. What cannot
be read, or makes no sense yet, does not replace what is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from anyres_server.errors import StartFailed

log = logging.getLogger(__name__)

T = TypeVar("T")
Stamp: TypeAlias = tuple[tuple[int, int, int], ...]

EVERY_S = 0.25


class Reloaded(Generic[T]):
    """The newest value that could be read; `read` raises OSError or ValueError, naming the file."""

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], T]) -> None:
        self._what = what
        self._files = files
        self._read = read
        self._seen: Stamp = ()
        self._value: T

    @property
    def value(self) -> T:
        """What the files say."""
        return self._value

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Reloaded[T]]:
        """Read, and read again at every change, until the block ends.

        Raises:
            StartFailed: the first time it cannot be used; names the file.
        """
        self._seen = await asyncio.to_thread(_stamp, self._files)
        try:
            self._value = await asyncio.to_thread(self._read)
        except (OSError, ValueError) as error:
            raise StartFailed(f"{self._what} cannot be used: {_words(error)}") from error
        task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            stamp = await asyncio.to_thread(_stamp, self._files)
            if stamp == self._seen:
                continue
            self._seen = stamp
            try:
                self._value = await asyncio.to_thread(self._read)
            except (OSError, ValueError) as error:
                why = _words(error)
                log.warning("%s changed and cannot be used; the old go on: %s", self._what, why)
            else:
                log.info("%s changed and were read again", self._what)


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _stamp(files: Sequence[Path]) -> Stamp:
    """When and how large they are; a file that is away for a moment has no stamp."""
    stamps = []
    for file in files:
        with suppress(OSError):
            stat = file.stat()
            stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(stamps)
