"""Pictures as people hold them: a path, a file's bytes, a PIL image or an array of pixels."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from anyres_client.answers import Size, size_text
from anyres_client.errors import InvalidRequest

Picture: TypeAlias = str | PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any]
"""A picture as people hold it; nothing is resized.

- the path of a file, a file's bytes, or a file that is open to read bytes (it is left where it
  was): they go up as they are, and the server decodes them: upright by EXIF, 16 bits scaled to 8,
  transparency over white, CMYK as RGB; 32 bits are refused
- a PIL image of mode L, RGB, 1 or P without transparency, turned upright by its EXIF; others would
  lose something and raise `InvalidRequest`
- an array of pixels (h, w) or (h, w, channels): uint8; uint16, scaled to 8 bits as a file's; floats
  of 0..1, scaled to 0..255; bool, black and white. 1, 3 or 4 channels become those of the model, as
  a file's do: grey as RGB, transparency over white
- an array float32 (channels, h, w): the network's own input, scaled already
"""

# PIL modes whose pixels go to the server as they are, and those that become one without loss.
LOSSLESS = {"L": "L", "RGB": "RGB", "1": "L", "P": "RGB"}


def read_file(path: str | PathLike[str]) -> bytes:
    """The bytes of a file, untouched."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or error}") from error


def read_open(file: BinaryIO) -> bytes:
    """What an open file holds from where it stands, and stands at again if it can."""
    start = file.tell() if file.seekable() else None
    held: bytes | str = file.read()
    if isinstance(held, str):
        raise InvalidRequest("a picture's file is opened to read bytes: open(path, 'rb')")
    if start is not None:
        file.seek(start)
    return held


def network_input(array: NDArray[Any]) -> bool:
    """Whether it is float32 (channels, h, w), and not pixels (h, w, channels)."""
    if array.dtype != np.float32 or array.ndim != 3:
        return False
    return array.shape[0] in (1, 3) or array.shape[2] not in (1, 3, 4)


def eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """An array's pixels in 0..255.

    Raises:
        InvalidRequest: they have no range that is known, or leave it.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return np.where(array, 255, 0).astype(np.uint8)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidRequest(
            "an array of pixels is uint8, uint16, bool or of floats in 0..1; "
            f"got {array.dtype} {array.shape}"
        )
    if not ((array >= 0) & (array <= 1)).all():
        raise InvalidRequest(
            f"floats of pixels (h, w, channels) are in 0..1; got {array.dtype} {array.shape} with "
            "others. The network's own input is float32 (channels, h, w)"
        )
    scaled: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return scaled


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """An image's pixels, upright, (h, w) or (h, w, 3)."""
    mode = LOSSLESS.get(image.mode)
    if mode is None or "transparency" in image.info:
        raise InvalidRequest(
            f"a PIL image in mode {image.mode} would lose something on the way to RGB: "
            "convert it first, as in image.convert('RGB')"
        )
    return np.asarray(ImageOps.exif_transpose(image).convert(mode))


def upright_rgb(picture: Picture, size: Size) -> Image.Image:
    """The picture to draw on; it must be the one that was predicted."""
    image = upright(picture)
    if (image.height, image.width) != size:
        raise InvalidRequest(
            f"this picture is {image.width}x{image.height}, "
            f"but the prediction was made from one of {size_text(size)}"
        )
    return image


def upright(picture: Picture) -> Image.Image:
    """The picture as it is drawn on: upright, in RGB."""
    return _open(picture).convert("RGB")


def _open(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return ImageOps.exif_transpose(picture)
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if isinstance(picture, bytes):
        encoded = picture
    else:
        encoded = read_file(picture) if isinstance(picture, str | PathLike) else read_open(picture)
    try:
        return ImageOps.exif_transpose(Image.open(BytesIO(encoded)))
    except UnidentifiedImageError as error:
        raise InvalidRequest(
            "cannot draw on this picture: it is in no format that Pillow reads"
        ) from error
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"cannot draw on this picture: {error}") from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    if network_input(array):
        raise InvalidRequest(
            f"cannot draw on a network's input, {array.shape}: hand over the photo itself"
        )
    seen = eight_bits(array)
    return Image.fromarray(seen[..., 0] if seen.shape[2:] == (1,) else seen)
