"""Files that must be read here and there while they come: on disk, without a name.

A file without a name is gone with this process, however that ends. A TIFF is read in the order in
which its directory says; what has not come yet is waited for, so one whose directory stands in
front is read while it comes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from anyres_server.errors import InvalidRequest, Overloaded, ServingError
from anyres_server.machine import mib
from anyres_server.picture.arriving import Progress


class Disk:
    """So many bytes of disk for all spools together, in a folder; None: where the system wants."""

    def __init__(self, total: int, folder: Path | None) -> None:
        self._total = total
        self._free = total
        self._lock = threading.Lock()
        self.folder = folder

    def check(self) -> None:
        """Raise where nothing can be written.

        Raises:
            OSError: the folder is not there, or not ours to write into.
        """
        tempfile.TemporaryFile(dir=self.folder).close()

    @property
    def free(self) -> int:
        """Bytes that nobody has taken."""
        return self._free

    def take(self, amount: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            Overloaded: there are not so many left.
        """
        with self._lock:
            if amount > self._free:
                raise Overloaded(
                    f"all {mib(self._total)} of disk for files that come in chunks are in use; "
                    "try again later"
                )
            self._free -= amount

    def give_back(self, amount: int) -> None:
        """What was taken is free again."""
        with self._lock:
            self._free += amount


class Spool:
    """A file without a name; `declared` is how many bytes it will have, if the sender said."""

    def __init__(self, disk: Disk, declared: int | None = None) -> None:
        self._disk = disk
        self._declared = declared
        self._progress = Progress()
        self._opened: BinaryIO | None = None
        self._closed = False

    @property
    def arrived(self) -> int:
        """Bytes that have come so far."""
        return self._progress.arrived

    async def put(self, chunk: bytes) -> None:
        """Take what has come."""
        await asyncio.to_thread(self.write, chunk)

    def write(self, chunk: bytes) -> None:
        """Take what has come. Blocks while it is written.

        Raises:
            Overloaded: there is no room on disk.
        """
        progress = self._progress
        with progress.changed:
            if self._closed:
                return
            self._disk.take(len(chunk))
            progress.arrived += len(chunk)  # given back by `close`
            try:
                _write(self._file(), chunk)
            except OSError as error:
                raise Overloaded("the server's disk is full; try again later") from error
            progress.changed.notify_all()

    def end(self, failure: ServingError | None = None) -> None:
        """No more comes."""
        self._progress.end(failure)

    def close(self) -> None:
        """Nobody reads it any more: its place on disk is free."""
        with self._progress.changed:
            if not self._closed:
                self._closed = True
                self._disk.give_back(self._progress.arrived)
                if self._opened is not None:
                    self._opened.close()
            self._progress.end(None)

    def read_at(self, position: int, most: int) -> bytes:
        """Up to `most` bytes from there on; none behind the end. Blocks.

        Raises:
            ServingError: the sender failed.
        """
        progress = self._progress
        with progress.changed:
            progress.changed.wait_for(lambda: progress.ended or progress.arrived > position)
            progress.check()
            if self._closed or progress.arrived <= position:
                return b""
            return os.pread(self._file().fileno(), most, position)

    def length(self) -> int:
        """How many bytes it has in the end; blocks until that is known."""
        return self.whole_length() if self._declared is None else self._declared

    def whole_length(self) -> int:
        """How many bytes it has; blocks until all are there."""
        progress = self._progress
        with progress.changed:
            progress.changed.wait_for(lambda: progress.ended)
            progress.check()
            return progress.arrived

    def whole(self) -> BinaryIO:
        """The file, at its start; blocks until all of it is there, and lives until `close`."""
        self.whole_length()
        file = self._file()
        file.seek(0)
        return file

    def _file(self) -> BinaryIO:
        if self._opened is None:
            folder = self._disk.folder
            self._opened = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - kept
        return self._opened


def _write(file: BinaryIO, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


class Anywhere:
    """A spool as a file, of which `most_bytes` are read at once."""

    def __init__(self, spool: Spool, most_bytes: int) -> None:
        self._spool = spool
        self._most_bytes = most_bytes
        self._at = 0

    @property
    def arrived(self) -> int:
        """Bytes that have come so far."""
        return self._spool.arrived

    def read(self, most: int = -1) -> bytes:
        """So many bytes, or all that are left; fewer only at the end."""
        parts = bytearray()
        wanted = most if most >= 0 else self._spool.length() - self._at
        if wanted > self._most_bytes:
            raise InvalidRequest(
                f"the image wants {mib(wanted)} of its file at once; expected strips or tiles, and "
                f"a directory, of at most {mib(self._most_bytes)}"
            )
        while len(parts) < wanted and (part := self.read_some(wanted - len(parts))):
            parts += part
        return bytes(parts)

    def read_some(self, most: int) -> bytes:
        """What is there, up to `most` bytes; at least one, except at the end."""
        part = self._spool.read_at(self._at, most)
        self._at += len(part)
        return part

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        match whence:
            case os.SEEK_CUR:
                position += self._at
            case os.SEEK_END:
                position += self._spool.length()
        if position < 0:
            raise OSError("there is nothing before the start of a file")
        self._at = position
        return position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at
