"""A picture that is being received, and which way its pixels go: in strips, or as a whole file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from anyres_proto.card import ImageInput
from anyres_server.errors import InvalidRequest
from anyres_server.model import Size
from anyres_server.picture.header import TIFF, read_header
from anyres_server.picture.image import check_channels, check_files
from anyres_server.picture.pipe import Forward, Pipe
from anyres_server.picture.spool import Anywhere, Disk, Spool
from anyres_server.picture.strips import FileStrips, RawStrips, Strips

HEADER_BYTES = 2**24  # that a file may have before its pixels
COPIED_BYTES = 2**20  # at a time


@dataclass(frozen=True, eq=False)
class Way:
    """How the pixels of a picture go."""

    size: Size  # before the EXIF orientation, where it does not go in strips
    strips: Strips | None
    held_bytes: int  # while it is read in strips
    whole: str  # why it is not
    file: Callable[[], BinaryIO]  # all of it, once it has come; blocks


class Received(Protocol):
    """A picture on its way; all but `stop` in one thread, where it may block."""

    def way(self, spec: ImageInput) -> Way:
        """Look at what has come.

        Raises:
            InvalidRequest: it is no picture, or none for this model.
            ServingError: the sender failed.
        """

    def stop(self) -> None:
        """Nobody wants it any more; on the event loop, at once."""

    def close(self) -> None:
        """Let everything go."""


class ReceivedRows:
    """Rows of pixels."""

    def __init__(self, pipe: Pipe, size: Size, channels: int) -> None:
        self._pipe = pipe
        self._size = size
        self._channels = channels

    def way(self, spec: ImageInput) -> Way:
        """In strips."""
        check_channels(self._channels, spec)
        file = Forward(self._pipe, 0)
        file.let_go()
        strips = RawStrips(file, self._size)
        return Way(self._size, strips, self._pipe.held_bytes, "", _no_file)

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._pipe.close()

    def close(self) -> None:
        """Nothing else is held."""


class ReceivedFile:
    """A file: a TIFF comes to disk, since it is read here and there, any other through a pipe."""

    def __init__(self, came: Pipe | Spool, disk: Disk, expansion: int) -> None:
        self._came = came
        self._disk = disk
        self._expansion = expansion
        self._strips: FileStrips | None = None
        self._copy: Spool | None = None

    def way(self, spec: ImageInput) -> Way:
        """In strips, where its pixels can be read from top to bottom."""
        check_files(spec)
        file = _file(self._came)
        header = read_header(file)
        if isinstance(file, Forward):
            file.let_go()
        else:
            file.seek(0)
        if header.whole:
            return Way(header.size, None, 0, header.whole, lambda: self._whole(file))
        self._strips = FileStrips(file, header, spec, self._expansion)
        ahead = self._came.held_bytes if isinstance(self._came, Pipe) else 0
        held = header.decoder_bytes + ahead
        return Way(header.size, self._strips, held, "", _no_file)

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._came.close()
        if self._copy is not None:
            self._copy.end()

    def close(self) -> None:
        """Let the decoder and the disk go."""
        if self._strips is not None:
            self._strips.close()
        if self._copy is not None:
            self._copy.close()

    def _whole(self, file: Forward | Anywhere) -> BinaryIO:
        if isinstance(self._came, Spool):
            return self._came.whole()
        self._copy = Spool(self._disk)
        while part := file.read(COPIED_BYTES):
            self._copy.write(part)
        self._copy.end()
        return self._copy.whole()


def receive(first: bytes, disk: Disk, *, ahead: int, declared: int | None) -> Pipe | Spool:
    """What takes a file that begins so; on the event loop."""
    return Spool(disk, declared) if first.startswith(TIFF) else Pipe(ahead)


def _file(came: Pipe | Spool) -> Forward | Anywhere:
    return Forward(came, HEADER_BYTES) if isinstance(came, Pipe) else Anywhere(came, HEADER_BYTES)


def _no_file() -> BinaryIO:
    raise InvalidRequest("the image comes in strips, and never as a file")
