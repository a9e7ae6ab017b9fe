"""Images in, network input out: decoding, orientation, pixel formats, scaling.

A decoded picture stays uint8 until a tile is cut from it; only the tile becomes float32, so that a
picture of 58 megapixels never costs 700 MB. A network of bytes takes the tile as it is.

What a file holds becomes 8-bit RGB, or grey where the model asks for it, by these rules:

    palette, CMYK, YCbCr, black and white    converted to RGB; RGB to grey by ITU-R 601 luma
    16 bits a channel                        scaled to 8: 0 stays 0, 65535 becomes 255
    transparency                             composited over white
    EXIF orientation                         applied; sizes and results are the upright picture's
    several frames or pages                  refused (`several`)
    32 bits a channel, integer or float      refused: such values have no agreed range
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Protocol, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from anyres_proto.card import ImageInput
from anyres_server.errors import InvalidRequest, ServingError
from anyres_server.model import Array, Floats, Size
from anyres_server.picture.pixels import flattened, recoloured, recolours, refuse_deep
from anyres_server.picture.several import refuse_several

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
WANTED = "a PNG, JPEG, WebP, TIFF or BMP file"
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}
T = TypeVar("T")


class ReadableFile(Protocol):
    """What Pillow needs of a file."""

    def read(self, most: int = -1, /) -> bytes:
        """So many bytes, or all that are left."""

    def seek(self, position: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """Where the next read begins."""


class Source(Protocol):
    """An image that network input can be cut from."""

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""

    def cut(self, rows: slice, columns: slice) -> Array:
        """The network's input for a part of the image: one image, in its layout."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels (h, w, channels) in 0..255, RGB or grey, and what the network makes of them."""

    pixels: Array
    spec: ImageInput

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def cut(self, rows: slice, columns: slice) -> Array:
        """A part of the picture: its pixels, or `(pixel * scale - mean) / std` of them."""
        spec, part = self.spec, self.pixels[rows, columns]
        if spec.colour == "BGR":
            part = part[:, :, ::-1]
        if spec.dtype == "uint8":
            ordered = part if spec.layout == "NHWC" else part.transpose(2, 0, 1)
            return np.ascontiguousarray(ordered[None])
        made = np.empty(spec.shape(1, *part.shape[:2]), np.float32)
        planes = made[0].transpose(2, 0, 1) if spec.layout == "NHWC" else made[0]
        for index, (plane, mean, std) in enumerate(zip(planes, spec.mean, spec.std, strict=True)):
            np.multiply(part[:, :, index], np.float32(spec.scale), out=plane)
            plane -= np.float32(mean)
            plane /= np.float32(std)
        return made


@dataclass(frozen=True, eq=False)
class Planes:
    """Float32 (channels, h, w) that goes into the network as it is."""

    values: Floats
    spec: ImageInput

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return self.values.shape[1], self.values.shape[2]

    def cut(self, rows: slice, columns: slice) -> Array:
        """A part of the values."""
        part = self.values[None, :, rows, columns]
        last = self.spec.layout == "NHWC"
        return np.ascontiguousarray(part.transpose(0, 2, 3, 1) if last else part)


@dataclass(frozen=True, eq=False)
class Opened:
    """An image whose size is known and whose pixels are not yet there."""

    size: Size  # before the EXIF orientation
    held_bytes: int  # while it is being decoded, the file itself left out
    decode: Callable[[], Source]
    at_hand: bool = False  # whether decoding takes no time


def open_image(image: bytes | BinaryIO | Array, spec: ImageInput, max_pixels: int) -> Opened:
    """Look at an image without decoding it: at a file's header, or an array's shape.

    Raises:
        InvalidRequest: it is no image, too large, or not what the model takes.
    """
    if isinstance(image, np.ndarray):
        opened = _from_array(image, spec)
        check_pixels(opened.size, max_pixels)
        return opened
    check_files(spec)
    if image == b"":
        raise InvalidRequest(f"the image is empty: 0 bytes; expected {WANTED}")
    file = open_file(BytesIO(image) if isinstance(image, bytes) else image)
    size = file.height, file.width
    check_pixels(size, max_pixels)
    return Opened(size, decoding_bytes(size, spec), lambda: _decode(file, spec))


def open_file(file: ReadableFile) -> ImageFile:
    """A picture whose header is read, and nothing else of it.

    Raises:
        InvalidRequest: it is none.
    """
    # Pillow's own limit only warns, from 89 megapixels on, and is one for the whole process.
    Image.MAX_IMAGE_PIXELS = None
    return guarded("has a broken header", lambda: Image.open(file, formats=FORMATS))  # type: ignore[arg-type]


def check_files(spec: ImageInput) -> None:
    """Refuse any file where nothing says how its pixels become the model's channels."""
    if spec.channels != CHANNELS[spec.colour]:
        raise InvalidRequest(_only_tensors(spec))


def decoding_bytes(size: Size, spec: ImageInput) -> int:
    """What an image of this size takes while it is decoded: as Pillow has it, and as pixels."""
    return 2 * size[0] * size[1] * spec.channels


def check_pixels(size: Size, max_pixels: int) -> None:
    """Refuse an image of more than `max_pixels` pixels."""
    if size[0] * size[1] > max_pixels:
        raise InvalidRequest(
            f"the image has {size[1]}x{size[0]} pixels (width x height); "
            f"this server takes at most {max_pixels} in all"
        )


def _decode(image: ImageFile, spec: ImageInput) -> Picture:
    refuse_deep(image)
    guarded("is truncated or corrupt", lambda: refuse_several(image))
    mode = "L" if spec.colour == "GRAY" else "RGB"
    pixels = guarded("is truncated or corrupt", lambda: _pixels(image, mode))
    return Picture(pixels.reshape(*pixels.shape[:2], spec.channels), spec)


def check_channels(channels: int, spec: ImageInput) -> None:
    """Refuse UINT8 pixels that are not what a model takes."""
    check_scaling(spec)
    if channels != spec.channels:
        raise InvalidRequest(
            f"a pixel has {spec.channels} channels for this model; the strips have {channels}"
        )


def check_scaling(spec: ImageInput) -> None:
    """Refuse pixels where nothing says how they become a model's floats."""
    if spec.channels != CHANNELS[spec.colour] and spec.dtype == "float32":
        raise InvalidRequest(_only_tensors(spec))


def _from_array(array: Array, spec: ImageInput) -> Opened:
    if 0 in array.shape:
        raise InvalidRequest(f"the image is empty: its shape is {array.shape}")
    if array.dtype == np.float32 and spec.dtype == "float32":
        if array.ndim != 3 or array.shape[0] != spec.channels:
            raise InvalidRequest(
                f"a FLOAT32 image is ({spec.channels}, height, width) for this model; "
                f"got {array.shape}"
            )
        planes = Planes(array, spec)
        return Opened(planes.size, array.nbytes, lambda: planes, at_hand=True)
    check_scaling(spec)
    pixels = array[:, :, None] if array.ndim == 2 else array
    at_hand = pixels.ndim == 3 and pixels.shape[2] == spec.channels
    turned = spec.channels == CHANNELS[spec.colour] and recolours(pixels)
    if array.dtype != np.uint8 or not (at_hand or turned):
        raise InvalidRequest(
            f"an image is {_tensors(spec)} for this model; got {array.dtype} {array.shape}"
        )

    def decode() -> Source:
        return Picture(pixels if at_hand else recoloured(pixels, spec.channels), spec)

    size = pixels.shape[0], pixels.shape[1]
    return Opened(size, array.nbytes, decode, at_hand=at_hand)


def _tensors(spec: ImageInput) -> str:
    pixels = f"UINT8 (height, width, {spec.channels})"
    floats = f"FLOAT32 ({spec.channels}, height, width)"
    return f"{pixels} or {floats}" if spec.dtype == "float32" else pixels


def _only_tensors(spec: ImageInput) -> str:
    tensor = (
        f"FLOAT32 tensor ({spec.channels}, height, width)"
        if spec.dtype == "float32"
        else f"UINT8 tensor (height, width, {spec.channels})"
    )
    return (
        f"this model has {spec.channels} input channels, and nothing says how pixels become those; "
        f"send a {tensor}"
    )


def _pixels(image: Image.Image, mode: str) -> Array:
    image.load()
    turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    flat = flattened(image, mode)
    return np.asarray(flat if turn is None else flat.transpose(turn))


def guarded(trouble: str, read: Callable[[], T]) -> T:
    """Translate whatever Pillow raises: on broken files, that is almost anything."""
    try:
        return read()
    except ServingError:
        raise  # a file that is still on its way says for itself what is wrong
    except UnidentifiedImageError as error:
        raise InvalidRequest(f"this is no image that can be read; expected {WANTED}") from error
    except Exception as error:
        raise InvalidRequest(f"the image {trouble}; expected {WANTED}") from error
