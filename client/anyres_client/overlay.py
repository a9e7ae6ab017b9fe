"""A prediction drawn on its picture: the class map in colours, or the heat of one class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from anyres_client import grid, legend, picture
from anyres_client.palette import inferno

if TYPE_CHECKING:
    from anyres_client.prediction import Prediction
    from anyres_proto.card import Card

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


def of_classes(prediction: Prediction, photo: picture.Picture, alpha: float | None) -> Image.Image:
    """The class map's colours over the photo."""
    image = picture.upright_rgb(photo, prediction.image_size)
    classes = grid.nearest(prediction.classes, prediction.card.output, prediction.image_size)
    colours = Image.fromarray(prediction.palette[classes])
    background = _muted(image).point([SHADOW + value * (255 - SHADOW) // 255 for value in RAMP])
    return Image.blend(background, colours, CLASS_ALPHA if alpha is None else alpha)


def of_heat(
    prediction: Prediction, photo: picture.Picture, class_index: int, alpha: float | None
) -> Image.Image:
    """The probability of one class over the photo, transparent where it is 0."""
    image = picture.upright_rgb(photo, prediction.image_size)
    cells = prediction.heat(class_index)
    heat = grid.bilinear(cells / _peak(cells), prediction.card.output, prediction.image_size)
    cover = np.sqrt(heat) * (255 * (HEAT_ALPHA if alpha is None else alpha))
    mask = Image.fromarray(np.rint(cover).astype(np.uint8))
    return Image.composite(Image.fromarray(inferno(heat)), _muted(image), mask)


def with_legend(prediction: Prediction, drawn: Image.Image, class_index: int | None) -> Image.Image:
    """The drawing with a strip below that says what is seen."""
    if class_index is None:
        strip = legend.of_classes(prediction, drawn.width)
    else:
        peak = _peak(prediction.heat(class_index))
        strip = legend.of_heat(prediction.class_names[class_index], peak, drawn.width)
    together = Image.new("RGB", (drawn.width, drawn.height + strip.height))
    together.paste(drawn, (0, 0))
    together.paste(strip, (0, drawn.height))
    return together


def _muted(image: Image.Image) -> Image.Image:
    return ImageEnhance.Color(image).enhance(SATURATION)


def _peak(cells: NDArray[np.float32]) -> float:
    """The highest probability, and never 0: the heat is drawn relative to it."""
    return max(float(cells.max()), float(np.finfo(np.float32).tiny))
