"""Whether somebody is still writing to a file: the kernel knows, and where it does not say, time.

Linux gives a read lease on a file only while nobody has it open for writing, so a file that was
renamed into place, or that its writer has closed, is complete at once. Leases are for a file's
owner and for local filesystems; without one, a file is complete when it has not changed for a
while.
"""

from __future__ import annotations

import errno
import fcntl
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from anyres_server.regular import check_regular
from anyres_server.repository.files import Found, found_again


class Quiet:
    """Remembers since when a version's files have been as they are."""

    def __init__(self, folder: Path, settle_s: float, clock: Callable[[], float] = time.monotonic):
        self._folder = folder
        self._settle_s = settle_s
        self._clock = clock
        self._since: dict[Path, tuple[Found, float]] = {}

    def settled(self, found: Found) -> bool:
        """Whether a version lies there as it was found, and nobody is writing to it. Blocks."""
        try:
            if found_again(found, self._folder) != found:
                return False
            written = [being_written(file) for file in found.files]
        except OSError:
            return True  # whoever loads it will say why it cannot be read
        if None in written:
            return True not in written and self._unchanged(found)
        self._since.pop(found.path, None)
        return not any(written)

    def _unchanged(self, found: Found) -> bool:
        """Whether it has been as it is for long enough, by its own time or by our clock."""
        if time.time() - found.written_s >= self._settle_s:
            return True
        known, since = self._since.get(found.path, (None, 0.0))
        if known != found:
            since = self._clock()
            self._since[found.path] = (found, since)
        return self._clock() - since >= self._settle_s


def being_written(file: Path) -> bool | None:
    """Whether anybody has a file open for writing; None where that cannot be known.

    Raises:
        OSError: it cannot be opened.
    """
    check_regular(file)
    with file.open("rb") as opened:
        return _leased(opened)


@contextmanager
def kept_from_writers(files: Iterable[Path]) -> Iterator[None]:
    """Let those who would write into files wait until the block ends, where the kernel can do that.

    Files are mapped while they are read, and one that is cut then would end the process (SIGBUS).
    """
    with ExitStack() as stack:
        for file in files:
            with suppress(OSError):  # whoever reads it says why it cannot be read
                check_regular(file)
                _leased(stack.enter_context(file.open("rb")))
        yield


def _leased(file: BinaryIO) -> bool | None:
    """Take a read lease, which ends when the file is closed; whether somebody writes to it."""
    try:
        # Whoever comes to write waits until the lease is given back. What the kernel then sends us
        # would end the process if it were SIGIO; SIGURG is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False
