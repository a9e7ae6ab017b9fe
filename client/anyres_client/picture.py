"""Pictures as people hold them: a path, a file's bytes, a PIL image or an array of pixels."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from anyres_client.answers import Size, size_text
from anyres_client.errors import InvalidRequest

Picture: TypeAlias = str | PathLike[str] | bytes | Image.Image | NDArray[Any]
"""A picture as people hold it; nothing is resized.

- the path of a file, or a file's bytes: they go up as they are, and the server decodes them:
  upright by EXIF, 16 bits scaled to 8, transparency over white, CMYK as RGB; 32 bits are refused
- a PIL image of mode L, RGB, 1 or P without transparency, turned upright by its EXIF; others would
  lose something and raise `InvalidRequest`
- an array of pixels, uint8 (h, w) or (h, w, channels)
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
    encoded = picture if isinstance(picture, bytes) else read_file(picture)
    try:
        return ImageOps.exif_transpose(Image.open(BytesIO(encoded)))
    except UnidentifiedImageError as error:
        raise InvalidRequest(
            "cannot draw on this picture: it is in no format that Pillow reads"
        ) from error
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"cannot draw on this picture: {error}") from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8:
        raise InvalidRequest(
            f"can draw on an array of uint8 only, got {array.dtype}: hand over the photo itself"
        )
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
