"""A class map as a PNG file, in the classes' colours."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from io import BytesIO

import numpy as np
from PIL import Image

from anyres_proto.card import ClassName
from anyres_server.model import Array

PNG_EFFORT = 3  # 6, the default, takes ten times as long for a tenth less
GOLDEN_ANGLE = 0.381966  # of a full turn: neighbouring classes get colours far apart


def png(class_map: Array, colours: Array) -> Array:
    """The file's bytes, uint8; with a palette where that holds all classes."""
    if len(colours) <= 256:
        image = Image.fromarray(class_map)
        image.putpalette(colours.tobytes())
    else:
        image = Image.fromarray(colours[class_map])
    file = BytesIO()
    image.save(file, "PNG", compress_level=PNG_EFFORT)
    return np.frombuffer(file.getbuffer(), np.uint8)


def palette(classes: Iterable[ClassName], count: int) -> Array:
    """A colour (r, g, b) for each of `count` classes: the card's, or one of its own."""
    given = [each.colour for each in classes]
    given += [None] * (count - len(given))
    colours = [colour or _own_colour(index) for index, colour in enumerate(given)]
    return np.array(colours, np.uint8)


def _own_colour(index: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN_ANGLE % 1, 0.6, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)
