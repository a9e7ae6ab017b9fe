"""A picture that is never whole in memory: strips of rows, by the pixel rules of `image`.

raw pixels      rows as the network's own picture has them, as they came
files           rows as libvips decodes them, made 8-bit RGB or grey by the functions that make
                a whole picture so: a pixel cannot come out differently

looked(file)    what it is, before a row is read
strips.read(n)  the next n rows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from anyres_proto.card import ImageInput
from anyres_server.errors import InvalidRequest
from anyres_server.machine import mib
from anyres_server.model import Array, Size
from anyres_server.picture import vips
from anyres_server.picture.arriving import ByteFile
from anyres_server.picture.header import Header
from anyres_server.picture.image import WANTED, Picture
from anyres_server.picture.pixels import flattened

STRIP_BYTES = 2**19  # about as much as is decoded and converted at once
BLANK_BYTES = 2**26  # of pixels that any file may unfold to


class Strips(Protocol):
    """Rows of a picture, from top to bottom; use it from one thread."""

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""

    def read_into(self, pixels: Array) -> None:
        """Fill (rows, width, channels) uint8 with the next rows. Blocks.

        Raises:
            InvalidRequest: they are broken.
            ServingError: the sender failed.
        """

    def close(self) -> None:
        """Let go of what reading takes."""


@dataclass(frozen=True, eq=False)
class RawStrips:
    """Rows that come as bytes, (width, channels) each."""

    file: ByteFile
    size: Size

    def read_into(self, pixels: Array) -> None:
        """Fill (rows, width, channels) uint8 with the next rows."""
        values = pixels.reshape(-1)
        for start in range(0, len(values), STRIP_BYTES):
            part = values[start : start + STRIP_BYTES]
            came = self.file.read(len(part))
            if len(came) < len(part):
                raise InvalidRequest(
                    f"the pixels end after {self.file.arrived} bytes; "
                    f"{self.size[1]}x{self.size[0]} pixels (width x height) were announced"
                )
            part[...] = np.frombuffer(came, np.uint8)

    def close(self) -> None:
        """Nothing is held."""


class FileStrips:
    """Rows of a file; `expansion` is how many bytes of pixels a byte of it may unfold to."""

    def __init__(self, file: ByteFile, header: Header, spec: ImageInput, expansion: int) -> None:
        self.size = header.size
        self._file = file
        self._mirrored = header.mirrored
        self._mode = "L" if spec.colour == "GRAY" else "RGB"
        self._expansion = expansion
        self._rows = vips.Rows(file, header.format)
        self._top = 0

    def read_into(self, pixels: Array) -> None:
        """Fill (rows, width, channels) uint8 with the next rows."""
        step = max(1, STRIP_BYTES // pixels[:1].nbytes)
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            rows = self._pixels(self._rows.read(self._top, len(part)))
            if rows.shape != part.shape:
                raise InvalidRequest(f"the image contradicts its header; expected {WANTED}")
            part[...] = rows[:, ::-1] if self._mirrored else rows
            self._top += len(part)
            self._check_expansion(self._top * part[0].nbytes)

    def close(self) -> None:
        """Let the decoder go."""
        self._rows.close()

    def _pixels(self, rows: Array) -> Array:
        if self._mode == "RGB" and rows.dtype == np.uint8 and rows.shape[2] == 3:
            return rows
        flat = np.asarray(flattened(_image(rows, cmyk=self._rows.cmyk), self._mode))
        return flat.reshape(*flat.shape[:2], -1)

    def _check_expansion(self, made: int) -> None:
        if made > self._expansion * self._file.arrived + BLANK_BYTES:
            raise InvalidRequest(
                f"the file unfolds to more than {self._expansion} times its size, "
                f"{mib(made)} so far; this server takes no such file"
            )


def _image(rows: Array, *, cmyk: bool) -> Image.Image:
    """Rows as libvips has them, as Pillow would have them."""
    channels = rows.shape[2]
    if rows.dtype == np.uint16 and channels == 1:
        return Image.fromarray(rows[:, :, 0])
    if rows.dtype == np.uint16:
        rows = (rows >> 8).astype(np.uint8)  # of colours with 16 bits Pillow takes the higher byte
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "CMYK" if cmyk else "RGBA"}[channels]
    plane = rows[:, :, 0] if channels == 1 else rows
    return Image.frombytes(mode, (rows.shape[1], rows.shape[0]), plane.tobytes())


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a picture that the network's input can be cut from."""

    rows: Picture
    top: int  # where the first of them lies
    size: Size  # of the whole picture

    def cut(self, rows: slice, columns: slice) -> Array:
        """The network's input for a part of the image that lies in these rows."""
        within = slice(rows.start - self.top, rows.stop - self.top)
        return self.rows.cut(within, columns)
