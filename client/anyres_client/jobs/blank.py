"""Results within a tar file that count no more: made into a comment of the same length.

So nothing after them moves. A comment is a global extended header of POSIX.1-2001 ("pax"), which
whoever reads a tar file skips; Python does so only where something follows, so a comment at the end
is cut off.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import IO

from anyres_client.jobs.journal import Line

BLOCK = 512  # of a tar file


def blank(path: Path, lines: Iterable[Line]) -> int:
    """Blank what some lines tell of, where it still is what they tell of; where the rest ends."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for line in lines:
            offset, end = int(line["offset"]), int(line["end"])
            file.seek(offset)
            if end <= size and _begins(file.read(end - offset), str(line["file"])):
                file.seek(offset)
                file.write(_comment(end - offset))
        return _cut(file)


def _cut(file: IO[bytes]) -> int:
    """Cut off what follows the last result, but for the end that a whole tar file has."""
    position = end = file.seek(0)
    while (header := file.read(BLOCK)).strip(b"\0"):
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        position = file.seek(position + BLOCK + -(-info.size // BLOCK) * BLOCK)
        end = end if info.type == tarfile.XGLTYPE else position
    file.truncate(end)
    file.seek(end)
    file.write(bytes(2 * BLOCK) if header else b"")
    return end


def _begins(data: bytes, name: str) -> bool:
    """Whether a result of this image stands first; a comment does not."""
    try:
        with tarfile.open(fileobj=BytesIO(data)) as archive:
            member = archive.next()
    except tarfile.TarError:
        return False
    return member is not None and member.name.startswith(f"{name}.")


def _comment(size: int) -> bytes:
    """So many bytes, a multiple of blocks: a header, then "LENGTH comment=......"."""
    length = size - BLOCK
    info = tarfile.TarInfo("pax_global_header")
    info.type, info.size = tarfile.XGLTYPE, length
    begin = f"{length} comment=".encode()
    return info.tobuf(tarfile.USTAR_FORMAT) + begin.ljust(length - 1, b".") + b"\n"
