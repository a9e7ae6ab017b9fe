"""What a job has done: `results.jsonl`, one line an image, whole lines only.

A line is appended in one write when its results are on disk; a kill can tear the last line at most,
and a torn line counts as not written. Opening the journal drops what no longer holds.

In memory a line is two digests, of its image's name and of what the image was like (its stamp), so
that millions of lines are a few hundred MB; whoever needs more of them reads them again.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_core import from_json

from anyres_client.atomic import replacing

Line: TypeAlias = Mapping[str, Any]
Drop: TypeAlias = Callable[[Iterable[Line]], object]
RESULTS = "results.jsonl"
FAILURES = "failures.jsonl"
DIGEST_BYTES = 16


def digest(name: str) -> bytes:
    """What stands for a name, however long, where there may be millions."""
    return _short(name.encode(errors="surrogatepass"))


class Journal:
    """The lines of one file; whoever appends may be any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._superseded = False
        self._done: dict[bytes, bytes] = {}  # an image's name, its stamp

    def __len__(self) -> int:
        """How many images are done."""
        return len(self._done)

    def open(self, holds: Callable[[Line], bool], drop: Drop = list) -> None:
        """Read what is there; an image is done where its newest line holds.

        Args:
            holds: whether what a line tells of is there.
            drop: takes away what outdated lines tell of, before they are forgotten.
        """
        self._cut_torn_line()
        read = 0
        for line in self._read():
            name, read = digest(line["file"]), read + 1
            if holds(line):
                self._done[name] = _stamp(line)
            else:
                self._done.pop(name, None)
        if len(self._done) < read:
            self._tidy(drop)

    def has(self, name: str, stamp: Mapping[str, Any]) -> bool:
        """Whether an image is done, and is still what it was."""
        return self._done.get(digest(name)) == _stamp({"stamp": stamp})

    def lines(self) -> Iterator[Line]:
        """What is told of every image that is done, read anew from the file."""
        return filter(self._holds, self._read())

    def replace(self, lines: Iterable[Line] = ()) -> None:
        """Write the file anew, whole or not at all."""
        with replacing(self._path, alone=True) as file:
            for line in lines:
                file.write(_encoded(line))

    def forget(self) -> None:
        """Begin anew: nothing is done."""
        self._done.clear()
        self.replace()

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
            told = {digest(line["file"]): _stamp(line) for line in lines}
            self._superseded |= not self._done.keys().isdisjoint(told)
            self._done.update(told)

    def close(self, drop: Drop = list) -> None:
        """Leave one line an image, the newest, where some were done again; see `open`."""
        if self._superseded:
            self._tidy(drop)

    def _tidy(self, drop: Drop) -> None:
        drop(line for line in self._read() if not self._holds(line))
        self.replace(self.lines())

    def _holds(self, line: Line) -> bool:
        return self._done.get(digest(line["file"])) == _stamp(line)

    def _read(self) -> Iterator[Line]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for text in file:
                line = _parsed(text)
                if isinstance(line, dict) and isinstance(line.get("file"), str):
                    yield line

    def _cut_torn_line(self) -> None:
        """Take away what follows the last whole line; make the file where there is none."""
        with self._path.open("a+b") as file:
            if not file.tell():
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                end = text.rfind(b"\n") + 1
            file.truncate(end)


def _short(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _stamp(line: Line) -> bytes:
    return _short(json.dumps(line.get("stamp"), sort_keys=True).encode())


def _parsed(text: bytes) -> Any:
    """What a line says; None where a kill or somebody's hand has torn it."""
    try:
        return from_json(text, cache_strings="keys")  # several times as fast as json
    except ValueError:
        pass
    try:
        return json.loads(text)  # knows names that are no Unicode
    except ValueError:
        return None


def _encoded(line: Line) -> bytes:
    return json.dumps(line, sort_keys=True).encode() + b"\n"
