"""From the cells of an output grid to the pixels of the image.

Cell `i` is centred on pixel `stride * i + offset` (the card's output geometry), so pixel `x` is at
`(x - offset) / stride` on the grid: a cell rarely covers the pixels that stretching the grid over
the image would give it.

    stride 4, offset 0     pixels  0 1 2 3 4 5 6 7 8
                           cells   0       1       2
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_client.answers import Size
from anyres_proto.card import Output

ROWS_AT_ONCE = 64


def nearest(
    cells: NDArray[Any], geometry: Output, size: Size, shown: Size | None = None
) -> NDArray[Any]:
    """Every pixel's nearest cell, (height, width).

    Args:
        cells: one value a cell, (h, w).
        geometry: where cells lie.
        size: of the image.
        shown: of a smaller picture of it, whose pixels are meant; the image itself where None.
    """
    at = _positions(cells, geometry, size, shown)
    rows, columns = (np.rint(each).astype(np.intp) for each in at)
    return cells[rows[:, None], columns[None, :]]


def bilinear(
    cells: NDArray[np.float32], geometry: Output, size: Size, shown: Size | None = None
) -> NDArray[np.float32]:
    """Between four cells, by distance; beyond the outermost centres, the outermost cells."""
    rows, columns = _positions(cells, geometry, size, shown)
    return _between(_between(cells, rows).T, columns).T


def likeliest(
    probabilities: NDArray[np.float32], geometry: Output, size: Size
) -> NDArray[np.uint8 | np.uint16]:
    """Every pixel's most likely class, (height, width), between cells by their probabilities.

    Args:
        probabilities: of every class in every cell, (classes, h, w).
        geometry: where cells lie.
        size: of the image.
    """
    rows, columns = _positions(probabilities[0], geometry, size)
    classes = np.empty(size, np.uint8 if len(probabilities) <= 256 else np.uint16)
    for top in range(0, size[0], ROWS_AT_ONCE):  # every class of every pixel never exists at once
        band = slice(top, top + ROWS_AT_ONCE)
        between = [_between(_between(cells, rows[band]).T, columns).T for cells in probabilities]
        classes[band] = np.argmax(between, axis=0)
    return classes


def _positions(
    cells: NDArray[Any], geometry: Output, size: Size, shown: Size | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixels' rows and columns lie on the grid."""

    def along(axis: int, stride: Fraction, offset: Fraction) -> NDArray[np.float64]:
        at = (_centres(size[axis], shown and shown[axis]) - float(offset)) / float(stride)
        return np.clip(at, 0, cells.shape[axis] - 1)

    return (
        along(0, geometry.stride[0], geometry.offset[0]),
        along(1, geometry.stride[1], geometry.offset[1]),
    )


def _centres(length: int, shown: int | None) -> NDArray[np.float64]:
    """The pixels of an axis, or those of the image in which a smaller picture's are centred."""
    if shown is None:
        return np.arange(length, dtype=np.float64)
    return np.floor((np.arange(shown) + 0.5) * length / shown)


def _between(cells: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    below = np.floor(at).astype(np.intp)
    above = np.minimum(below + 1, len(cells) - 1)
    weight = (at - below).astype(np.float32)[:, None]
    return cells[below] * (1 - weight) + cells[above] * weight
