"""Pictures of a folder, as the arrays that a network takes.

What a file holds becomes 8-bit RGB, or grey where the model asks for it, by the rules of the
server, so that what is measured here is what is served:

    palette, CMYK, YCbCr, black and white    converted to RGB; RGB to grey by ITU-R 601 luma
    16 bits a channel                        scaled to 8: 0 stays 0, 65535 becomes 255
    transparency                             composited over white
    EXIF orientation                         applied; sizes are the upright picture's
    several frames or pages                  the first
    32 bits a channel, integer or float      refused: such values have no agreed range
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IMAGELENGTH as TIFF_HEIGHT
from PIL.TiffImagePlugin import IMAGEWIDTH as TIFF_WIDTH
from PIL.TiffImagePlugin import TiffImageFile

from anyres_exporter.errors import BadPicture
from anyres_proto.card import ImageInput

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
WANTED = "a PNG, JPEG, WebP, TIFF or BMP file"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = {5, 6, 7, 8}
_CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}

Read = TypeVar("Read")


def pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder and of those inside it, in the order of their names.

    Raises:
        BadPicture: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise BadPicture(f"{folder} is no folder of pictures")
    found = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES))
    if not found:
        raise BadPicture(f"{folder} holds no picture (.png, .jpg, .webp, .tif, .bmp)")
    return found


def size_of(path: Path) -> tuple[int, int]:
    """A picture's height and width as it stands upright; its pixels are not decoded.

    Raises:
        BadPicture: it is no picture.
    """
    with _opened(path) as image:
        turned = _guarded(path, "has a broken header", lambda: _orientation(image)) in _ON_ITS_SIDE
        width, height = _stored_size(image)
        return (width, height) if turned else (height, width)


def decoded(path: Path, image: ImageInput) -> NDArray[np.uint8]:
    """A picture's pixels (h, w, channels) in the network's order of colours, upright.

    Raises:
        BadPicture: it cannot be decoded, or the network takes neither grey nor coloured pictures.
    """
    if image.channels != _CHANNELS[image.colour]:
        raise BadPicture(
            f"{path}: the model has {image.channels} input channels, and nothing says how pixels "
            "become those"
        )
    with _opened(path) as opened:
        if opened.mode in {"I", "F"}:
            raise BadPicture(
                f"{path} has 32 bits a channel, which have no agreed range of values; "
                "save it with 8 or 16 bits"
            )
        mode = "L" if image.colour == "GRAY" else "RGB"
        pixels = _guarded(path, "is truncated or corrupt", lambda: _pixels(opened, mode))
    pixels = pixels.reshape(*pixels.shape[:2], image.channels)
    return pixels[..., ::-1] if image.colour == "BGR" else pixels


def prepared(pixels: NDArray[np.uint8], image: ImageInput) -> NDArray[Any]:
    """(h, w, channels) uint8 to the network's input for one image, in its type and layout.

    float32 (1, channels, h, w) is `(pixel * scale - mean) / std`; a network of bytes takes them.
    """
    values: NDArray[Any] = pixels
    if image.dtype != "uint8":
        mean, std = (np.array(numbers, np.float32) for numbers in (image.mean, image.std))
        values = pixels * np.float32(image.scale)
        values -= mean
        values /= std
    ordered = values if image.layout == "NHWC" else values.transpose(2, 0, 1)
    return np.ascontiguousarray(ordered[np.newaxis])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    # Pillow's own limit only warns, from 89 megapixels on, and is one for the whole process.
    Image.MAX_IMAGE_PIXELS = None
    with _guarded(path, "cannot be opened", lambda: Image.open(path, formats=FORMATS)) as image:
        yield image


def _pixels(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    image.load()
    turn = UPRIGHT.get(_orientation(image))
    flat = _opaque(_eight_bit(image)).convert(mode)
    return np.asarray(flat if turn is None else flat.transpose(turn))


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height before the EXIF orientation, which Pillow applies to a TIFF by itself."""
    if isinstance(image, TiffImageFile):
        return image.tag_v2[TIFF_WIDTH], image.tag_v2[TIFF_HEIGHT]
    return image.size


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if isinstance(found, int) else 1


def _eight_bit(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I;16"):
        return image
    deep = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((deep + 128) // 257).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def _guarded(path: Path, trouble: str, read: Callable[[], Read]) -> Read:
    """Translate whatever Pillow raises: on broken files, that is almost anything."""
    try:
        return read()
    except Exception as error:
        raise BadPicture(f"{path} {trouble}: {error}; expected {WANTED}") from error
