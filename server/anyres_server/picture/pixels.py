"""The rules by which a file's pixels become 8-bit RGB or grey; `image` lists them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from anyres_server.errors import InvalidRequest
from anyres_server.model import Array


def refuse_deep(image: Image.Image) -> None:
    """Refuse 32 bits a channel."""
    if image.mode in {"I", "F"}:
        raise InvalidRequest(
            "the image has 32 bits a channel, which have no agreed range of values; "
            "send it with 8 or 16 bits, or as a FLOAT32 tensor"
        )


def flattened(image: Image.Image, mode: str) -> Image.Image:
    """Pixels in a mode, "RGB" or "L": 8 bits a channel, over white."""
    return _opaque(_eight_bit(image)).convert(mode)


def recolours(pixels: Array) -> bool:
    """Whether these are pixels (h, w, channels) as files hold them, in grey or in colours."""
    return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4)


def recoloured(pixels: Array, channels: int) -> Array:
    """Grey as RGB (3 channels) or colours as grey (1), as of a file that held such pixels."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    made = np.asarray(flattened(image, "L" if channels == 1 else "RGB"))
    return made.reshape(*pixels.shape[:2], channels)


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
