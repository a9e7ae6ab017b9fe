"""A prediction drawn on its picture: the class map in colours, or the heat of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from anyres_client import grid
from anyres_client.palette import inferno
from anyres_proto.card import Card, Output

CLASS_ALPHA = 0.6
HEAT_ALPHA = 0.85
HEAT_TOP_K = 5
SATURATION = 0.35  # what the photo keeps of its own, so that a colour is a statement
RAMP = tuple(range(256)) * 3  # every value of every channel
SHADOW = 72  # what its black becomes under a class map, so that a class's colour stays that class's


def shows_classes(task: str) -> bool:
    """Whether an overlay of such a model is its class map, and not the heat of one class."""
    return task == "segmentation"


def needs(card: Card) -> tuple[tuple[str, ...], int]:
    """The outputs to ask for where an overlay is to be drawn, and how many classes of `top_k`.

    Every class's probability would be as large as the picture itself, and beyond the best few
    there is no heat to be seen.
    """
    if shows_classes(card.task):
        return ("classes",), 1
    return ("classes", "top_k"), min(HEAT_TOP_K, _sorted_classes(card))


def _sorted_classes(card: Card) -> int:
    """How many classes can be sorted: those of the scores, or as many as the graph keeps."""
    return max(view.channels for view in card.views)


def of_classes(
    photo: Image.Image,
    classes: NDArray[np.uint8 | np.uint16],
    colours: NDArray[np.uint8],
    geometry: Output,
    alpha: float | None,
) -> Image.Image:
    """A class map (h, w) in its classes' colours (classes, 3) over the photo, in RGB."""
    placed = grid.nearest(classes, geometry, (photo.height, photo.width))
    background = _muted(photo).point([SHADOW + value * (255 - SHADOW) // 255 for value in RAMP])
    blend = CLASS_ALPHA if alpha is None else alpha
    return Image.blend(background, Image.fromarray(colours[placed]), blend)


def of_heat(
    photo: Image.Image, cells: NDArray[np.float32], geometry: Output, alpha: float | None
) -> Image.Image:
    """The probability of one class (h, w) over the photo, in RGB; transparent where it is 0."""
    heat = grid.bilinear(cells / peak(cells), geometry, (photo.height, photo.width))
    cover = np.sqrt(heat) * (255 * (HEAT_ALPHA if alpha is None else alpha))
    mask = Image.fromarray(np.rint(cover).astype(np.uint8))
    return Image.composite(Image.fromarray(inferno(heat)), _muted(photo), mask)


def peak(cells: NDArray[np.float32]) -> float:
    """The highest probability, and never 0: the heat is drawn relative to it."""
    return max(float(cells.max()), float(np.finfo(np.float32).tiny))


def stacked(drawn: Image.Image, strip: Image.Image) -> Image.Image:
    """A drawing with a strip of its own width below."""
    together = Image.new("RGB", (drawn.width, drawn.height + strip.height))
    together.paste(drawn, (0, 0))
    together.paste(strip, (0, drawn.height))
    return together


def _muted(image: Image.Image) -> Image.Image:
    return ImageEnhance.Color(image).enhance(SATURATION)
