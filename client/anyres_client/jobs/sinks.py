"""Where a job's results go. Whatever the kind, a result is on disk before its line is in the
journal: what the journal tells of is safe, and what a kill leaves beside it is written again.

    folder     a/cat.jpg becomes a/cat.jpg.classes.png, so that a/cat.png finds its own place
    tar        000000.tar, 000001.tar, ...: see `shards`
    parquet    000000.parquet, ...: see `shards`
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from anyres_client.atomic import replacing
from anyres_client.errors import InvalidRequest
from anyres_client.jobs.journal import Journal, Line

Files: TypeAlias = Mapping[str, bytes]  # suffix -> contents: "classes.png"
SHARD_SIZE = 1000


class Sink(Protocol):
    """Keeps results; any thread may add."""

    def holds(self, line: Line) -> bool:
        """Whether what a line speaks of is still there; if so, the sink goes on after it."""

    def open(self) -> None:
        """Find out whether everything is there that it needs."""

    def add(self, line: Line, files: Files) -> None:
        """Keep the results of an image, then its line."""

    def drop(self, lines: Iterable[Line]) -> None:
        """Take away what outdated lines tell of, so that no image is there twice."""

    def close(self) -> None:
        """Finish what is begun."""


class Folder:
    """Results in folders that mirror the images'."""

    def __init__(self, out: Path, journal: Journal) -> None:
        self._out = out
        self._journal = journal

    def holds(self, line: Line) -> bool:
        """Whether the files are there."""
        results = line.get("results")
        if not results or not isinstance(results, list):
            return False
        return all(os.path.isfile(f"{self._out}/{name}") for name in results)  # noqa: PTH113 - fast

    def open(self) -> None:
        """Files need nothing."""

    def add(self, line: Line, files: Files) -> None:
        """Write each file at once or not at all, then the line."""
        name = str(line["file"])
        folder = (self._out / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self._out)):
            raise InvalidRequest(f"{folder} is a link that leads out of the results")
        results = [f"{name}.{suffix}" for suffix in files]
        for result, contents in zip(results, files.values(), strict=True):
            with replacing(self._out / result, alone=True) as file:
                file.write(contents)
        self._journal.append({**line, "results": results})

    def drop(self, lines: Iterable[Line]) -> None:
        """New files have taken the place of the old."""

    def close(self) -> None:
        """Nothing is left open."""
