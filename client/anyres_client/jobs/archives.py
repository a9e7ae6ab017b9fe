"""Images in archives, read where they lie: nothing is unpacked to disk.

A plain tar (webdataset's shards are such) is read at each image's own offset, by as many readers as
there are; a compressed one only from front to back, so its images are read as they come by.
"""

from __future__ import annotations

import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from threading import Event
from typing import Self

from anyres_client.errors import InvalidRequest
from anyres_client.jobs.items import MOST_BYTES, Found, Item, Stamp, Unusable, inside, is_image

# What zipfile, tarfile and what they read with raise of bytes that are no archive's.
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, OverflowError, RuntimeError, TypeError, ValueError),
)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def zipped(path: Path) -> Iterator[Found]:
    """Every image of a zip file.

    Raises:
        InvalidRequest: it is none, or torn.
    """
    place, members = _contents(path)
    for member in members:
        if is_image(member.filename):
            read = partial(_read_member, *place, member)
            stamp = {"bytes": member.file_size, "crc": member.CRC}
            yield _checked(member.filename, stamp, member.file_size, read)


def count_members(path: Path) -> int:
    """How many images a zip file holds.

    Raises:
        InvalidRequest: it is none, or torn.
    """
    return sum(is_image(member.filename) for member in _contents(path)[1])


def _contents(path: Path) -> tuple[tuple[Path, int], list[zipfile.ZipInfo]]:
    """What an archive is known by, and what is in it."""
    try:
        place = (path.absolute(), path.stat().st_mtime_ns)
        return place, _opened(*place).infolist()
    except BROKEN as error:
        raise InvalidRequest(f"{path} is no zip file, or torn: {error}") from error


@lru_cache(maxsize=1)
def _opened(path: Path, changed_ns: int) -> zipfile.ZipFile:
    """An archive, whose table of contents a process reads once, however many images it reads."""
    return zipfile.ZipFile(path)


def _read_member(path: Path, changed_ns: int, member: zipfile.ZipInfo) -> bytes:
    try:
        return _opened(path, changed_ns).read(member)
    except BROKEN as error:
        raise InvalidRequest(f"cannot read it from its archive: {error}") from error


def tarred(path: Path) -> Iterator[Found]:
    """Every image of a tar file, compressed or not.

    Raises:
        InvalidRequest: it is none, or torn.
    """
    plain, ended = path.suffix == ".tar", Event()
    try:
        with tarfile.open(path, "r:" if plain else "r|*", tarinfo=_headers(ended)) as archive:
            for member in archive:
                if member.isfile() and is_image(member.name):
                    yield _tar_item(path, archive, member, plain=plain)
            if not ended.is_set():
                yield Unusable(path.name, "it ends in the middle: what follows is lost")
    except BROKEN as error:
        raise InvalidRequest(f"{path} is no tar file, or torn: {error}") from error


def _headers(ended: Event) -> type[tarfile.TarInfo]:
    """A reader of members' headers that tells when the archive's end was seen.

    tarfile keeps that to itself: to it, an archive cut off between two members is whole.
    """

    class Header(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
            try:
                return super().fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                ended.set()
                raise

    return Header


def _tar_item(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, *, plain: bool
) -> Found:
    stamp = {"bytes": member.size, "offset": member.offset_data, "changed_s": int(member.mtime)}
    read: Callable[[], bytes] = partial(_read_at, path.absolute(), member.offset_data, member.size)
    if not plain and member.size <= MOST_BYTES:
        file = archive.extractfile(member)
        assert file is not None, "a regular file has contents"
        read = partial(bytes, file.read())
    return _checked(member.name, stamp, member.size, read)


def _read_at(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            found = os.pread(file.fileno(), size, offset)
    except OSError as error:
        raise InvalidRequest(f"cannot read it from {path.name}: {error.strerror}") from error
    if len(found) < size:
        raise InvalidRequest(f"{path.name} ends in the middle of it")
    return found


def _checked(name: str, stamp: Stamp, size: int, read: Callable[[], bytes]) -> Found:
    place = inside(name)
    if place is None:
        return Unusable(name, "its name leads outside the results' folder")
    if size > MOST_BYTES:
        return Unusable(place, f"it claims {size / 2**30:.1f} GiB, which no image has")
    return Item(place, stamp, size, read)
