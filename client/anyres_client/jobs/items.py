"""One image of a job: what its results are called, what must stay as it is, and its bytes.

Any process may read it that finds its file where this one does: an item can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import TypeAlias

from anyres_client.errors import InvalidRequest

SUFFIXES = frozenset(".png .jpg .jpeg .webp .tif .tiff .bmp".split())
MOST_BYTES = 2**30  # of one image: what claims more is no photo

Stamp: TypeAlias = Mapping[str, int | str]


@dataclass(frozen=True)
class Item:
    """An image that can be read."""

    name: str  # of its results: a relative path, with "/"
    stamp: Stamp  # while it is the same, so is the image
    size: int  # bytes
    read: Callable[[], bytes] = field(repr=False)  # InvalidRequest where that fails


@dataclass(frozen=True)
class Unusable:
    """What looks like an image and cannot be one, and why."""

    name: str
    reason: str


Found: TypeAlias = Item | Unusable


def is_image(name: str) -> bool:
    """Whether a file's name is an image's, and not a hidden one's."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def from_file(name: str, path: Path) -> Found:
    """A file as an item."""
    try:
        about = path.stat()
    except OSError as error:
        return Unusable(name, f"cannot read it: {error.strerror or error}")
    if not S_ISREG(about.st_mode):
        return Unusable(name, "it is no regular file")
    stamp = {"bytes": about.st_size, "changed_ns": about.st_mtime_ns}
    return Item(name, stamp, about.st_size, partial(read_file, path.absolute()))


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read it: {error.strerror or error}") from error


def inside(name: str) -> str | None:
    """A name from an archive or a list as a relative path; None where it leads out of a folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in path.parts if part != "."]
    if not parts or path.is_absolute() or ".." in parts or ":" in parts[0] or "\0" in name:
        return None
    return "/".join(parts)
