"""Rows of a picture while its file arrives, by libvips: the only place that knows it.

Only the three loaders named here ever run, none of libvips's others and none of its writers; it
keeps nothing, starts no threads, and what it complains of goes nowhere.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np

from anyres_server.errors import InvalidRequest, ServingError
from anyres_server.model import Array
from anyres_server.picture.arriving import ByteFile
from anyres_server.picture.image import WANTED

LOADERS = {
    "PNG": "pngload_source",
    "JPEG": "jpegload_source",
    "MPO": "jpegload_source",
    "TIFF": "tiffload_source",
}
# The least that ends it: what Pillow would not show either. A JPEG may have odd bytes in it.
FAIL_ON = {"PNG": "truncated", "JPEG": "truncated", "MPO": "truncated", "TIFF": "error"}
DTYPES = {"uchar": np.uint8, "ushort": np.uint16}


@cache
def _vips() -> Any:
    """Loaded and bounded when the first strip is asked for: a server without such pays nothing."""
    logging.getLogger("pyvips").setLevel(logging.CRITICAL + 1)  # internal words for every odd tag
    import pyvips

    pyvips.cache_set_max(0)
    pyvips.cache_set_max_mem(0)
    pyvips.concurrency_set(1)
    pyvips.block_untrusted_set(True)
    return pyvips


class Rows:
    """A file's rows, from top to bottom. Use it from one thread."""

    def __init__(self, file: ByteFile, format: str) -> None:
        self._file = file
        self._format = format
        self._failure: ServingError | None = None
        # Callbacks are looked up in the source: where it is gone and C still reads, Python dies.
        self._source: Any = None
        self._image: Any = None
        self._region: Any = None

    def read(self, top: int, count: int) -> Array:
        """Rows (count, width, channels) as the file has them, uint8 or uint16. Blocks.

        Raises:
            InvalidRequest: the file is broken there.
            ServingError: the sender failed.
        """
        vips = _vips()
        try:
            if self._region is None:
                self._image = self._opened(vips)
                self._region = vips.Region.new(self._image)
            image = self._image
            packed = self._region.fetch(0, top, image.width, count)
        except vips.Error as error:
            raise self._failure or InvalidRequest(
                f"the image is truncated or corrupt; expected {WANTED}"
            ) from error
        return np.frombuffer(packed, DTYPES[image.format]).reshape(count, image.width, image.bands)

    @property
    def cmyk(self) -> bool:
        """Whether four channels are cyan, magenta, yellow and black, once a row was read."""
        return bool(self._image.interpretation == "cmyk")

    def close(self) -> None:
        """Let the decoder go."""
        self._region = None
        self._image = None
        self._source = None  # the last of them

    def _opened(self, vips: Any) -> Any:
        source = self._source = vips.SourceCustom()
        source.on_read(self._read)
        if self._format == "TIFF":
            source.on_seek(self._seek)
        load = getattr(vips.Image, LOADERS[self._format])
        return load(source, access="sequential", fail_on=FAIL_ON[self._format])

    # An exception would pass through C: it is kept, and C is told that the file ends here.

    def _read(self, most: int) -> bytes:
        try:
            return b"" if self._failure else self._file.read_some(most)
        except ServingError as error:
            self._failure = error
            return b""

    def _seek(self, position: int, whence: int) -> int:
        try:
            return -1 if self._failure else self._file.seek(position, whence)
        except ServingError as error:
            self._failure = error
            return -1
        except OSError:
            return -1
