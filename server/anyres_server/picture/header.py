"""What a file's header says about its pixels, and whether they can be read from top to bottom.

Pillow reads the header of every picture, whichever way its pixels go, so that sizes, orientations
and what is refused are the same. Where the pixels cannot be read strip by strip, `whole` says why:

    WebP, BMP                 no library reads them in strips
    progressive JPEG          its last bytes refine the first row, as do a scan's for each channel
    interlaced PNG            likewise
    turned by EXIF            the first row of the upright picture is the file's last, or a column
    rare pixels               those of which two libraries might make different ones
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from anyres_server.model import Size
from anyres_server.picture.arriving import ByteFile
from anyres_server.picture.image import guarded, open_file
from anyres_server.picture.pixels import refuse_deep
from anyres_server.picture.several import refuse_several

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
SIGNATURE = 4  # bytes that tell a TIFF

_UPRIGHT, _MIRRORED = 1, 2
_UNCOMPRESSED, _JPEG = 1, 7
_CHOPPED = 8192  # bytes into which libtiff cuts an uncompressed strip
_DECODER_ROWS = 64  # that libvips holds of a PNG or JPEG, at most
# TIFF: photometric interpretation -> bits a channel that all libraries understand alike.
_BITS = {
    0: (1, 8),  # white is zero
    1: (1, 8, 16),  # black is zero
    2: (8, 16),  # RGB
    3: (8,),  # palette
    5: (8,),  # CMYK
    6: (8,),  # YCbCr
}


@dataclass(frozen=True)
class Header:
    """A picture before its pixels are there."""

    format: str
    size: Size  # of the upright picture, if it is read in strips
    mirrored: bool  # left and right
    decoder_bytes: int  # that reading in strips takes
    whole: str  # why it cannot be read in strips; "" where it can


def read_header(file: ByteFile) -> Header:
    """Look at a file; blocks until its header is there.

    Raises:
        InvalidRequest: it is no picture, or one whose pixels have no agreed range.
        ServingError: the sender failed.
    """
    image = open_file(file)
    refuse_deep(image)
    guarded("has a broken header", lambda: refuse_several(image))
    return guarded("has a broken header", lambda: _described(image, file))


def _described(image: ImageFile, file: ByteFile) -> Header:
    reason, strip_rows, extra = _READ_IN_STRIPS.get(image.format or "", _unknown)(image, file)
    orientation = _orientation(image)
    if not reason and orientation not in (_UPRIGHT, _MIRRORED):
        reason = "its EXIF orientation turns it"
    deep = 2 if ";16" in str(image.tile[:1]) else 1
    row = image.width * max(3, len(image.getbands())) * deep
    return Header(
        format=image.format or "",
        size=(image.height, image.width),
        mirrored=orientation == _MIRRORED,
        decoder_bytes=row * strip_rows + extra,
        whole=reason,
    )


def _orientation(image: ImageFile) -> int:
    # Not the format's own: a PNG's would decode the pixels, to find what comes behind them.
    found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, _UPRIGHT)
    return found if found in range(2, 9) else _UPRIGHT


Found = tuple[str, int, int]  # why not, rows of a strip that the decoder holds, other bytes


def _png(image: ImageFile, file: ByteFile) -> Found:
    if image.info.get("interlace"):
        return "it is interlaced", 0, 0
    if ";16" in str(image.tile) and "transparency" in image.info:
        return "it has 16 bits a channel and a transparent colour", 0, 0
    return "", _DECODER_ROWS, 0


def _jpeg(image: ImageFile, file: ByteFile) -> Found:
    if image.info.get("progressive"):
        return "it is progressive", 0, 0
    if not _one_scan(len(image.getbands()), file):
        return "its channels come one after the other", 0, 0
    return "", _DECODER_ROWS, 0


def _one_scan(channels: int, file: ByteFile) -> bool:
    """Whether the scan that Pillow has just read the header of has all channels.

    A scan's header is FF DA, its length as two bytes, its number of channels, two bytes for each of
    them and three more (ITU-T T.81, B.2.3).
    """
    length = 6 + 2 * channels
    file.seek(file.tell() - length - 2)
    return file.read(length + 2).startswith(bytes([0xFF, 0xDA, 0, length, channels]))


def _tiff(image: ImageFile, file: ByteFile) -> Found:
    tags: Mapping[int, object] = image.tag_v2  # type: ignore[attr-defined]

    def numbers(tag: int, missing: int) -> tuple[int, ...]:
        value = tags.get(tag, missing)
        return value if isinstance(value, tuple) else (int(value),)  # type: ignore[call-overload]

    photometric, compression = numbers(262, -1)[0], numbers(259, _UNCOMPRESSED)[0]
    bits = set(numbers(258, 1))
    if not bits <= set(_BITS.get(photometric, ())) or len(bits) != 1:
        return "its pixels are of a rare kind", 0, 0
    if photometric == 6 and compression != _JPEG:
        return "its YCbCr pixels are not JPEG's", 0, 0
    if numbers(338, 2) != (2,) or numbers(339, 1)[0] != 1 or numbers(266, 1)[0] != 1:
        return "its channels are of a rare kind", 0, 0
    if numbers(274, 1)[0] not in (0, _UPRIGHT):
        return "its orientation turns it", 0, 0
    tiled = 323 in tags
    rows = numbers(323, 1)[0] if tiled else numbers(278, image.height)[0]
    if not tiled and compression == _UNCOMPRESSED:
        rows = min(rows, ceil(_CHOPPED / image.width))
    packed = numbers(325 if tiled else 279, 0)
    directory = 64 * len(packed)  # of Pillow's numbers and libtiff's
    return "", 3 * min(rows, image.height) + 16, max(packed, default=0) + directory


def _unknown(image: ImageFile, file: ByteFile) -> Found:
    return f"no {image.format} is read in strips", 0, 0


_READ_IN_STRIPS: Mapping[str, Callable[[ImageFile, ByteFile], Found]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "MPO": _jpeg,
    "TIFF": _tiff,
}
