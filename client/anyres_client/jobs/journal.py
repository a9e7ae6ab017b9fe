"""What a job has done: `results.jsonl`, one line an image, whole lines only.

A line is appended in one write when its results are on disk; a kill can tear the last line at most,
and a torn line counts as not written. Opening the journal drops what no longer holds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from anyres_client.atomic import replacing

Line: TypeAlias = Mapping[str, Any]
RESULTS = "results.jsonl"
FAILURES = "failures.jsonl"


class Journal:
    """The lines of one file; whoever appends may be any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._superseded = False
        self.done: dict[str, Line] = {}

    def open(self, holds: Callable[[Line], bool]) -> None:
        """Read what is there; `done` are the lines that hold, by their images' names."""
        lines = list(self._read())
        self.done = {str(line["file"]): line for line in lines if holds(line)}
        if len(self.done) < len(lines) or self._torn():
            self.replace(self.done.values())

    def replace(self, lines: Iterable[Line] = ()) -> None:
        """Write the file anew, whole or not at all."""
        with replacing(self._path) as file:
            for line in lines:
                file.write(_encoded(line))

    def append(self, *lines: Line) -> None:
        """Add lines; they are on disk, whole, when this returns.

        Raises:
            OSError: they are not, and nothing is left of them.
        """
        left = b"".join(map(_encoded, lines))
        with self._lock, self._path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while left:  # a disk that fills up takes a part, and says why at the next
                    left = left[file.write(left) :]
            except OSError:
                file.truncate(before)
                raise
            self._superseded |= any(line["file"] in self.done for line in lines)

    def close(self) -> None:
        """Leave one line an image, the newest, where some were done again."""
        if self._superseded:
            self.replace({str(line["file"]): line for line in self._read()}.values())

    def _read(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    continue  # torn by a kill: its image is done again
                if isinstance(line, dict) and "file" in line:
                    yield line

    def _torn(self) -> bool:
        """Whether the last line lacks its end, or the file is not there."""
        if not self._path.exists():
            return True
        with self._path.open("rb") as file:
            if not file.seek(0, 2):
                return False
            file.seek(-1, 2)
            return file.read(1) != b"\n"


def _encoded(line: Line) -> bytes:
    return json.dumps(line, sort_keys=True).encode() + b"\n"
