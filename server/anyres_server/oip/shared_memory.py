"""Regions of system memory that client and server share: files of /dev/shm, by names of their own.

A region is read and written through its file, never mapped: a file that its owner shortens under a
mapping ends the whole process with SIGBUS, while a read of it just comes back short. What is read
is a copy, so nobody can change an image while it is worked on.

A region's file stays open until it is unregistered and the last request that uses it is done.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeAlias
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from anyres_server.errors import InvalidRequest, RegionNotFound, RegionTaken, Unserved
from anyres_server.oip import parameters
from anyres_server.oip.parameters import Parameters
from anyres_server.oip.shown import quoted

FOLDER = Path("/dev/shm")
_KEY = re.compile(r"/?([A-Za-z0-9_-][A-Za-z0-9_.-]{0,254})")
_LONGEST_NAME = 256
# A pipe under the key must not hold us up, nor a link lead out.
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

Bytes: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Region:
    """One registered part of a file; sizes in bytes."""

    name: str
    key: str
    offset: int
    byte_size: int
    file: int  # its descriptor
    writable: bool  # as its permissions were when it was registered


@dataclass(frozen=True, eq=False)
class Window:
    """Where one tensor stands in a region, checked against the region's bounds."""

    region: Region
    offset: int  # in the region
    byte_size: int

    def read(self, byte_size: int) -> Bytes:
        """The first so many bytes.

        Raises:
            InvalidRequest: the file has become shorter than it was when it was registered.
        """
        data = np.empty(byte_size, np.uint8)
        view, at = data.data, self.region.offset + self.offset
        while view:
            count = os.preadv(self.region.file, [view], at)
            if not count:
                raise self._shrunk()
            view, at = view[count:], at + count
        return data

    def write(self, data: memoryview) -> None:
        """Put bytes at the window's beginning.

        Raises:
            InvalidRequest: the file has become shorter than it was when it was registered.
        """
        view, at = data.cast("B"), self.region.offset + self.offset
        if os.fstat(self.region.file).st_size < at + len(view):
            raise self._shrunk()
        while view:
            count = os.pwrite(self.region.file, view, at)
            view, at = view[count:], at + count

    def _shrunk(self) -> InvalidRequest:
        return InvalidRequest(
            f"the memory behind region {quoted(self.region.name)} has become smaller than the "
            f"{self.region.byte_size} bytes that are registered; register it again"
        )


class Regions:
    """The registered regions, by name.

    There are at most `limit` at once, and none are served where that is 0; a tensor in one has at
    most `tensor_bytes`, for what is read from there is held as a message is.
    """

    def __init__(self, limit: int, tensor_bytes: int, folder: Path = FOLDER) -> None:
        self._limit = limit
        self._tensor_bytes = tensor_bytes
        self._folder = folder
        self._regions: dict[str, Region] = {}
        self._changing = Lock()

    @property
    def served(self) -> bool:
        """Whether regions can be registered at all."""
        return self._limit > 0

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open a region under a name.

        Raises:
            InvalidRequest: the key is no name of a region, or the region is not as large.
            RegionTaken: the name is in use.
        """
        self._check_served()
        if not 0 < len(name) <= _LONGEST_NAME:
            raise InvalidRequest(
                f"a region's name has 1 to {_LONGEST_NAME} characters; got {len(name)}"
            )
        region = _opened(self._folder, name, key, offset, byte_size)
        finalize(region, os.close, region.file)
        with self._changing:
            if name in self._regions:
                raise RegionTaken(f"region {quoted(name)} is already registered; unregister it")
            if len(self._regions) >= self._limit:
                raise InvalidRequest(
                    f"{self._limit} regions are registered, as many as this server keeps; "
                    f"unregister one"
                )
            self._regions[name] = region

    def unregister(self, name: str) -> None:
        """Forget a region, or all where the name is empty; one that is not there is forgotten."""
        self._check_served()
        with self._changing:
            if name:
                self._regions.pop(name, None)
            else:
                self._regions.clear()

    def registered(self, name: str) -> Mapping[str, Region]:
        """The region of a name, or all where it is empty.

        Raises:
            RegionNotFound: there is none of that name.
        """
        self._check_served()
        return {name: self._get(name)} if name else dict(self._regions)

    def window(self, name: str, offset: int, byte_size: int) -> Window:
        """A part of a region.

        Raises:
            RegionNotFound: there is none of that name.
            InvalidRequest: it ends before the part does, or the part is too large.
        """
        self._check_served()
        region = self._get(name)
        if byte_size > self._tensor_bytes:
            raise InvalidRequest(
                f"a tensor in shared memory has at most {self._tensor_bytes} bytes; got {byte_size}"
            )
        if offset + byte_size > region.byte_size:
            raise InvalidRequest(
                f"region {quoted(name)} has {region.byte_size} bytes; "
                f"asked are {byte_size} from {offset} on"
            )
        return Window(region, offset, byte_size)

    def named(self, given: Parameters, owner: str) -> Window | None:
        """The window that a tensor's parameters name, if they do.

        Raises:
            RegionNotFound: there is no such region.
            InvalidRequest: it ends before the window does, or parameters are missing.
        """
        name = parameters.text(given, "shared_memory_region")
        if name is None:
            return None
        byte_size = parameters.number(given, "shared_memory_byte_size")
        if not byte_size:
            raise InvalidRequest(f"{owner} is in shared memory; shared_memory_byte_size is missing")
        return self.window(name, parameters.number(given, "shared_memory_offset") or 0, byte_size)

    def _get(self, name: str) -> Region:
        if region := self._regions.get(name):
            return region
        raise RegionNotFound(f"there is no region {quoted(name)}; register it first")

    def _check_served(self) -> None:
        if not self.served:
            raise Unserved("this server shares no memory; tensors travel in messages")


def _opened(folder: Path, name: str, key: str, offset: int, byte_size: int) -> Region:
    found = _KEY.fullmatch(key)
    if not found:
        raise InvalidRequest(
            f"a region's key is the name of a file of {folder}, such as '/images'; "
            f"got {quoted(key)}"
        )
    file, writable = _open(folder / found[1], key)
    about = os.fstat(file)
    troubles = tuple(_troubles(about, key, offset, byte_size))
    if troubles:
        os.close(file)
        raise InvalidRequest(troubles[0])
    # A file that nobody may write is not written by root either.
    return Region(name, key, offset, byte_size, file, writable and bool(about.st_mode & 0o222))


def _open(path: Path, key: str) -> tuple[int, bool]:
    """The file, for writing if its permissions allow that."""
    try:
        return os.open(path, os.O_RDWR | _FLAGS), True
    except PermissionError:
        pass  # then perhaps for reading
    except OSError as error:
        raise _unopened(key) from error
    try:
        return os.open(path, os.O_RDONLY | _FLAGS), False
    except OSError as error:
        raise _unopened(key) from error


def _unopened(key: str) -> InvalidRequest:
    return InvalidRequest(
        f"there is no shared memory with the key {quoted(key)} that this server may open"
    )


def _troubles(about: os.stat_result, key: str, offset: int, byte_size: int) -> Iterator[str]:
    if not stat.S_ISREG(about.st_mode):
        yield f"the key {quoted(key)} is not one of shared memory"
    if not byte_size:
        yield "a region has at least 1 byte; got 0"
    if offset + byte_size > about.st_size:
        yield (
            f"the shared memory {quoted(key)} has {about.st_size} bytes; "
            f"asked are {byte_size} from {offset} on"
        )
