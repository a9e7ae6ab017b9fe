"""Results in shards: a file for every thousand or so.

    tar        000000.tar, 000001.tar, ...: webdataset's shards
    parquet    000000.parquet, ...: one row an image

Either grows as a tar file, result by result, so that each is safe on disk before its line is in the
journal; a full one is ended as tar wants it, or made into a table. A rerun goes on after the last
line, over whatever a kill left there; the tar file of a table goes when the table is there whole.

    |result|result|...|result|half a res
    0                        ^ end: beyond it no line tells of anything
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from anyres_client.jobs import tables
from anyres_client.jobs.blank import BLOCK, blank
from anyres_client.jobs.journal import Journal, Line
from anyres_client.jobs.sinks import Files

NUMBERED = re.compile(r"(\d{6,})\.\w+")


@dataclass(frozen=True)
class Kind:
    """What becomes of a tar file that is full.

    Attributes:
        suffix: of the shard.
        growing: of the tar file meanwhile; the same where it is the shard itself.
        finish: makes the shard of the tar file: (tar file, shard).
        check: whether a result of that name can be kept; of none, whether any can.
    """

    suffix: str
    growing: str
    finish: Callable[[Path, Path], None]
    check: Callable[[str], None]


def _ended(growing: Path, shard: Path) -> None:
    """Two empty blocks, as POSIX has it for the end of a tar file."""
    with growing.open("ab") as file:
        file.write(bytes(2 * BLOCK))


TAR = Kind(".tar", ".tar", _ended, lambda name: None)
PARQUET = Kind(".parquet", ".part", tables.made, tables.check)


class Shards:
    """A sink that fills one shard after the other."""

    def __init__(self, kind: Kind, out: Path, journal: Journal, shard_size: int) -> None:
        self._kind = kind
        self._out = out
        self._journal = journal
        self._shard_size = shard_size
        self._lock = threading.Lock()
        self._reaches: dict[int, int] = {}
        self._number = 0
        self._count = 0
        self._end = 0

    def holds(self, line: Line) -> bool:
        """Whether the results are there; if so, what is added comes after them."""
        found, end = NUMBERED.fullmatch(str(line.get("shard"))), line.get("end")
        if found is None or not isinstance(end, int):
            return False
        number = int(found[1])
        reach = self._reach(number)
        if reach < end:
            return False
        if reach == sys.maxsize:
            self._go_on(number + 1, 0, 0)
        else:
            self._go_on(number, 1, end)
        return True

    def open(self) -> None:
        """Find out whether everything is there that shards need."""
        self._kind.check("")

    def add(self, line: Line, files: Files) -> None:
        """Append the results, then the line; one at a time, so that their order is one."""
        name = str(line["file"])
        self._kind.check(name)
        members = {**files, "json": json.dumps(line, sort_keys=True).encode()}
        results = b"".join(_member(f"{name}.{suffix}", held) for suffix, held in members.items())
        with self._lock:
            if self._count >= self._shard_size:
                self._finish()
            end = self._end + len(results)
            with self._growing.open("r+b" if self._count else "wb") as file:
                file.truncate(self._end)
                file.seek(self._end)
                file.write(results)
            place = {"shard": self._shard.name, "offset": self._end, "end": end}
            self._journal.append({**line, **place})
            self._count, self._end = self._count + 1, end  # from here on nothing is taken back

    def drop(self, lines: Iterable[Line]) -> None:
        """Take away what outdated lines tell of: rows of tables, members of tar files."""
        outdated: dict[int, list[Line]] = {}
        for line in lines:
            if found := NUMBERED.fullmatch(str(line.get("shard"))):
                outdated.setdefault(int(found[1]), []).append(line)
        with self._lock:
            for number, those in outdated.items():
                reach = self._measured(number)
                if reach == sys.maxsize:
                    tables.without(self._at(number, self._kind.suffix), those)
                elif reach:
                    end = blank(self._at(number, self._kind.growing), those)
                    self._end = end if number == self._number else self._end

    def close(self) -> None:
        """Finish the last shard, and take away what a kill has left of others."""
        with self._lock:
            if self._count:
                self._finish()
            if self._kind.growing != self._kind.suffix:
                for left in self._out.glob(f"*{self._kind.growing}"):
                    left.unlink()

    def _finish(self) -> None:
        with self._growing.open("r+b") as file:
            file.truncate(self._end)
        if self._end:
            self._kind.finish(self._growing, self._shard)
        else:
            self._growing.unlink()  # nothing in it counts any more
        self._number, self._count, self._end = self._number + 1, 0, 0

    def _go_on(self, number: int, more: int, end: int) -> None:
        if number > self._number:
            self._number, self._count, self._end = number, 0, 0
        if number == self._number:
            self._count, self._end = self._count + more, max(end, self._end)

    def _reach(self, number: int) -> int:
        """How far a shard's results go, in bytes of its tar file; no end once it is a table."""
        if number not in self._reaches:
            self._reaches[number] = self._measured(number)
        return self._reaches[number]

    def _measured(self, number: int) -> int:
        shard, growing = self._at(number, self._kind.suffix), self._at(number, self._kind.growing)
        if shard != growing and shard.is_file():
            return sys.maxsize
        return growing.stat().st_size if growing.is_file() else 0

    def _at(self, number: int, suffix: str) -> Path:
        return self._out / f"{number:06d}{suffix}"

    @property
    def _shard(self) -> Path:
        return self._at(self._number, self._kind.suffix)

    @property
    def _growing(self) -> Path:
        return self._at(self._number, self._kind.growing)


def _member(name: str, contents: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(contents)
    return info.tobuf(tarfile.PAX_FORMAT) + contents + bytes(-len(contents) % BLOCK)
