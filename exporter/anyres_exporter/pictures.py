"""Pictures of a folder, as the arrays that a network takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from anyres_exporter.errors import BadPicture
from anyres_proto.card import ImageInput

SUFFIXES = frozenset(Image.registered_extensions())


def pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder and of those inside it, in the order of their names.

    Raises:
        BadPicture: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise BadPicture(f"{folder} is no folder of pictures")
    found = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES))
    if not found:
        raise BadPicture(f"{folder} holds no picture (.png, .jpg, .tif, ...)")
    return found


def decoded(path: Path, image: ImageInput) -> NDArray[np.uint8]:
    """A picture's pixels (h, w, channels) in the network's order of colours, upright.

    Raises:
        BadPicture: it cannot be decoded, or the network takes neither grey nor coloured pictures.
    """
    if image.channels not in (1, 3):
        raise BadPicture(f"{path}: a picture has 1 or 3 channels; the model takes {image.channels}")
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            pixels = np.asarray(upright.convert("L" if image.channels == 1 else "RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadPicture(f"{path} is no picture that can be decoded: {error}") from error
    pixels = pixels.reshape(*pixels.shape[:2], image.channels)
    return pixels[..., ::-1] if image.colour == "BGR" else pixels


def prepared(pixels: NDArray[np.uint8], image: ImageInput) -> NDArray[Any]:
    """(h, w, channels) uint8 to the network's input for one image, in its type and layout.

    float32 (1, channels, h, w) is `(pixel * scale - mean) / std`; a network of bytes takes them.
    """
    values: NDArray[Any] = pixels
    if image.dtype != "uint8":
        mean, std = (np.array(numbers, np.float32) for numbers in (image.mean, image.std))
        values = (pixels * np.float32(image.scale) - mean) / std
    ordered = values if image.layout == "NHWC" else values.transpose(2, 0, 1)
    return np.ascontiguousarray(ordered[np.newaxis])
