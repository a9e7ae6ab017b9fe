"""Where a job's results go. Whatever the kind, a result is on disk before its line is in the
journal, and a rerun goes on after the last line: what a kill left behind it is cut off or replaced.

    folder     a/cat.jpg becomes a/cat.jpg.classes.png, so that a/cat.png finds its own place
    tar        000000.tar, 000001.tar, ...: webdataset's shards, a few thousand results in a file
    parquet    000000.parquet, ...: one row an image; a shard's rows are written together
"""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from anyres_client.atomic import replacing
from anyres_client.errors import InvalidRequest
from anyres_client.jobs.journal import Journal, Line

Files: TypeAlias = Mapping[str, bytes]  # suffix -> contents: "classes.png"
SHARD_SIZE = 1000
BLOCK = 512  # of a tar file


class Sink(Protocol):
    """Keeps results; any thread may add."""

    def holds(self, line: Line) -> bool:
        """Whether what a line speaks of is still there."""

    def open(self) -> None:
        """Go on after what the journal says is done."""

    def add(self, line: Line, files: Files) -> None:
        """Keep the results of an image, then its line."""

    def close(self) -> None:
        """Finish what is begun."""


class Folder:
    """Results in folders that mirror the images'."""

    def __init__(self, out: Path, journal: Journal) -> None:
        self._out = out
        self._journal = journal

    def holds(self, line: Line) -> bool:
        """Whether the files are there."""
        results = line.get("results", [])
        return bool(results) and all((self._out / name).is_file() for name in results)

    def open(self) -> None:
        """Nothing to go on after: every result has a file of its own."""

    def add(self, line: Line, files: Files) -> None:
        """Write each file at once or not at all, then the line."""
        name = str(line["file"])
        folder = (self._out / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.resolve().is_relative_to(self._out.resolve()):
            raise InvalidRequest(f"{folder} is a link that leads out of the results")
        results = [f"{name}.{suffix}" for suffix in files]
        for result, contents in zip(results, files.values(), strict=True):
            with replacing(self._out / result) as file:
                file.write(contents)
        self._journal.append({**line, "results": results})

    def close(self) -> None:
        """Nothing is left open."""


class Tar:
    """Results appended to tar files; a rerun cuts the last one where the journal ends."""

    def __init__(self, out: Path, journal: Journal, shard_size: int) -> None:
        self._out = out
        self._journal = journal
        self._shard_size = shard_size
        self._lock = threading.Lock()
        self._number = 0
        self._count = 0
        self._end = 0

    def holds(self, line: Line) -> bool:
        """Whether the shard reaches to the results' end."""
        shard, end = line.get("shard"), line.get("end")
        if not isinstance(shard, str) or not isinstance(end, int):
            return False
        path = self._out / shard
        return path.is_file() and path.stat().st_size >= end

    def open(self) -> None:
        """Find the last shard and its end."""
        lines = self._journal.done.values()
        if not lines:
            return
        last = max(str(line["shard"]) for line in lines)
        there = [int(line["end"]) for line in lines if line["shard"] == last]
        self._number, self._count, self._end = int(Path(last).stem), len(there), max(there)

    def add(self, line: Line, files: Files) -> None:
        """Append the results, then the line; one at a time, so that their order is one."""
        members = {**files, "json": json.dumps(line, sort_keys=True).encode()}
        with self._lock:
            if self._count >= self._shard_size:
                self._finish()
            shard, offset = f"{self._number:06d}.tar", self._end
            with (self._out / shard).open("r+b" if self._count else "wb") as file:
                file.seek(offset)
                file.truncate()
                for suffix, contents in members.items():
                    file.write(_member(f"{line['file']}.{suffix}", contents))
                self._end = file.tell()
            place = {"shard": shard, "offset": offset, "end": self._end}
            self._journal.append({**line, **place})
            self._count += 1

    def close(self) -> None:
        """End the last shard as tar wants it."""
        if self._count:
            self._finish()

    def _finish(self) -> None:
        with (self._out / f"{self._number:06d}.tar").open("r+b") as file:
            file.seek(self._end)
            file.truncate()
            file.write(bytes(2 * BLOCK))
        self._number, self._count, self._end = self._number + 1, 0, 0


def _member(name: str, contents: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(contents)
    return info.tobuf(tarfile.PAX_FORMAT) + contents + bytes(-len(contents) % BLOCK)


class Parquet:
    """Results as rows; a shard is written when it is full, and its lines with it."""

    def __init__(self, out: Path, journal: Journal, shard_size: int) -> None:
        self._out = out
        self._journal = journal
        self._shard_size = shard_size
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: list[tuple[Line, Files]] = []

    def holds(self, line: Line) -> bool:
        """Whether the shard is there."""
        shard = line.get("shard")
        return isinstance(shard, str) and (self._out / shard).is_file()

    def open(self) -> None:
        """Find the next shard's number."""
        shards = [int(Path(str(line["shard"])).stem) for line in self._journal.done.values()]
        self._number = max(shards, default=-1) + 1

    def add(self, line: Line, files: Files) -> None:
        """Keep a row until its shard is full."""
        with self._lock:
            self._waiting.append((line, files))
            if len(self._waiting) >= self._shard_size:
                self._write()

    def close(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._waiting:
                self._write()

    def _write(self) -> None:
        import pyarrow
        import pyarrow.parquet

        shard = f"{self._number:06d}.parquet"
        rows = [_row(line, files) for line, files in self._waiting]
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
        with replacing(self._out / shard) as file:
            file.write(buffer.getbuffer())
        self._journal.append(*({**line, "shard": shard} for line, _ in self._waiting))
        self._number, self._waiting = self._number + 1, []


def _row(line: Line, files: Files) -> dict[str, Any]:
    return {"path": line["file"], **files, "about": json.dumps(line, sort_keys=True)}
