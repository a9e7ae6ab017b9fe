"""What a batch has done: `results.jsonl`, one line an image, whole lines only.

A line is appended in one write when its results are on disk; a kill can tear the last line at most,
and a torn line counts as not written. Opening the journal drops what no longer holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anyres_client.atomic import replacing

Line = Mapping[str, Any]
NAME = "results.jsonl"


class Journal:
    """The lines of one output folder; `done` are those that a rerun may rely on."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self.done: dict[str, Line] = {}

    def open(self, *, keep: Mapping[str, Line]) -> None:
        """Read what is there; keep a line where it says of its image what `keep` says.

        `keep` maps each image to what would be done about it now: the same image, model and
        options. The file is written anew, whole or not at all.
        """
        for line in self._read():
            wanted = keep.get(str(line.get("file")))
            if wanted is not None and line.items() >= wanted.items() and self._there(line):
                self.done[str(line["file"])] = line
        with replacing(self._path) as file:
            for kept in self.done.values():
                file.write(_encoded(kept))

    def append(self, line: Line) -> None:
        """Add a line; it is on disk, whole, when this returns."""
        with self._path.open("ab", buffering=0) as file:
            file.write(_encoded(line))

    def _read(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        for text in self._path.read_text("utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue  # torn by a kill: its image is done again
            if isinstance(line, dict):
                yield line

    def _there(self, line: Line) -> bool:
        """Whether the files that a line speaks of are still there."""
        results = line.get("results", [])
        return bool(results) and all((self._path.parent / name).is_file() for name in results)


def _encoded(line: Line) -> bytes:
    return json.dumps(line, sort_keys=True).encode() + b"\n"
