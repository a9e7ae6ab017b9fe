"""The rules by which a file's pixels become 8-bit RGB or grey; `image` lists them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from anyres_server.errors import InvalidRequest


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
