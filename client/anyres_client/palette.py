"""Colours: one for every class, and one for every probability.

Classes get the card's own colours; where it has none, Kelly's colours of maximum contrast in his
order (K. L. Kelly, Color Engineering 3/6, 1965; without white and black), and after those, hues a
golden angle apart. Probabilities get Inferno (N. Smith and S. van der Walt, 2015), perceptually
uniform from black to pale yellow, drawn through ten of its colours.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anyres_proto.card import ClassName

KELLY = (
    "f3c300 875692 f38400 a1caf1 be0032 c2b280 848482 008856 e68fac 0067a5 "
    "f99379 604e97 f6a600 b3446c dcd300 882d17 8db600 654522 e25822 2b3d26"
).split()

INFERNO = ("000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4").split()

GOLDEN_ANGLE = 0.381966  # of a full turn: 2 minus the golden ratio


def class_colours(classes: Sequence[ClassName], count: int) -> NDArray[np.uint8]:
    """One colour a class, (count, 3)."""
    own = [entry.colour for entry in classes]
    return np.array(
        [own[i] if i < len(own) and own[i] else _stock_colour(i) for i in range(count)], np.uint8
    ).reshape(count, 3)


def inferno(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values in 0..1 of any shape as colours, (..., 3)."""
    stops = np.array([_rgb(colour) for colour in INFERNO], np.float32)
    table = _table(stops)
    return table[np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)]


def _table(stops: NDArray[np.float32]) -> NDArray[np.uint8]:
    at = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _stock_colour(i: int) -> tuple[int, int, int]:
    if i < len(KELLY):
        return _rgb(KELLY[i])
    red, green, blue = colorsys.hsv_to_rgb(i * GOLDEN_ANGLE % 1, 0.65, 0.9)
    return (round(red * 255), round(green * 255), round(blue * 255))


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour)
    return (red, green, blue)
