"""What the C library does with memory that is given back: it is kept for what comes next.

Fresh memory costs a page fault for every 4 KiB. glibc returns large blocks at once, so a server
pays that again for each message and each activation; ONNX Runtime's own arena returns nothing.
Between the two, glibc can be told to keep blocks of all sizes, in one heap that all threads share
(those of threads end at 64 MiB). It returns by itself only what lies at that heap's end, so `Freed`
looks after the rest: what is free and still resident does not grow beyond a limit, and goes back
when nothing runs.

`benchmarks/server/freed.py` compares all of these.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

log = logging.getLogger(__name__)

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGEST_BLOCK = 2**30  # that is kept; mallopt takes an int
LARGEST_BLOCK_BEFORE = 2**25  # as much as glibc takes that is older than 2.35
NOTED = 8  # memory is counted each time that an eighth of the limit has been added
IDLE_S = 10.0  # without a run, after which everything goes back


class _Counts(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def keep_freed(limit: int) -> bool:
    """Have about `limit` freed bytes kept, whatever their blocks; whether that was done.

    To be called before there are threads. 0 leaves everything to the C library.
    """
    library = _glibc()
    if not limit:
        return False
    if library is None:
        log.info("this C library keeps or returns freed memory as it likes")
        return False
    block = min(limit, LARGEST_BLOCK if hasattr(library, "mallinfo2") else LARGEST_BLOCK_BEFORE)
    return bool(
        (library.mallopt(M_MMAP_THRESHOLD, block) or library.mallopt(M_MMAP_THRESHOLD, 2**25))
        and library.mallopt(M_TRIM_THRESHOLD, min(limit, 2**31 - 1))
        and library.mallopt(M_ARENA_MAX, 1)
    )


def used_bytes() -> int | None:
    """What this process has of the allocator and has not given back; None where nobody counts."""
    library = _glibc()
    if library is None or not hasattr(library, "mallinfo2"):
        return None
    library.mallinfo2.restype = _Counts
    counts = library.mallinfo2()
    return int(counts.uordblks + counts.hblkhd)


def give_back() -> None:
    """Return all that is free to the system; takes as long as it is large."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


class Freed:
    """Keeps what is free and still resident below a limit.

    Args:
        limit: in bytes.
        resident: what the process holds, in bytes.
        used: what it has of the allocator; None where nobody knows, and then nothing is done.
        trim: gives back all that is free.
    """

    def __init__(
        self,
        limit: int,
        resident: Callable[[], int],
        used: Callable[[], int | None] = used_bytes,
        trim: Callable[[], None] = give_back,
    ) -> None:
        self._limit = limit
        self._resident = resident
        self._used = used
        self._trim = trim
        self._elsewhere: int | None = None  # what is neither the allocator's nor free
        self._counted = 0  # resident bytes when it was last counted
        self._looks = 0

    def look(self) -> None:
        """To be called after each run; gives everything back where too much is kept."""
        self._looks += 1
        resident, used = self._resident(), None
        self._counted = min(self._counted, resident)
        if resident - self._counted >= self._limit // NOTED:
            used = self._used()
        if used is None:
            return
        if self._elsewhere is None:
            self._trim()
            self._elsewhere = self._resident() - used
        elif resident - used - self._elsewhere > self._limit:
            self._trim()
        self._counted = self._resident()

    @asynccontextmanager
    async def watched(self, idle_s: float = IDLE_S) -> AsyncIterator[None]:
        """Give everything back whenever nothing has run for a while, until the block ends."""
        task = asyncio.create_task(self._watch(idle_s))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self, idle_s: float) -> None:
        given_back = 0
        while True:
            seen = self._looks
            await asyncio.sleep(idle_s)
            if seen == self._looks != given_back:
                await asyncio.to_thread(self._trim)
                given_back = seen


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "mallopt") else None
