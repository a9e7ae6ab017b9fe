"""Where a network's outputs lie among a picture's pixels, and what lies between them.

Output i is centred on pixel stride * i + offset, as the card says. Long et al. compare at the
labels' own resolution: scores are interpolated bilinearly and the highest is taken after that.

    pixel      0   1   2   3   4   5   6   7   8   9          stride 4, offset 1, two outputs
    output         0               1
    between    |0  0  .75 .5  .25  1   1   1   1 |            share of output 0, then of 1 alone

Beyond the outermost centres the nearest output answers, for less than one stride: that far a
network that pads may fall short of the picture's border. Pixels further out (92 at each side of an
unpadded U-Net) get no answer and are not compared. A map of the picture's own size answers pixel
by pixel, however its theoretical centres fall: that is how such networks are trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Lattice:
    """One axis: `cells` outputs among `pixels` pixels."""

    stride: Fraction
    offset: Fraction
    cells: int
    pixels: int

    @classmethod
    def of(cls, stride: Fraction, offset: Fraction, cells: int, pixels: int) -> Lattice:
        """The axis of a map; one of the picture's own size answers pixel by pixel."""
        if stride == 1 and cells == pixels:
            return cls(Fraction(1), Fraction(0), cells, pixels)
        return cls(stride, offset, cells, pixels)

    @property
    def on_pixels(self) -> bool:
        """Whether every output is centred on a pixel and every pixel between two is one."""
        return self.stride == 1 and self.offset.denominator == 1

    @property
    def answered(self) -> range:
        """The pixels that are compared."""
        first = max(0, floor(self.offset - self.stride) + 1)
        return range(first, min(self.pixels, ceil(self.offset + self.stride * self.cells)))

    def pixels_of(self, start: int, stop: int) -> range:
        """The pixels that outputs [start, stop) answer for, each with the one after it.

        Over all parts of an axis these are the pixels that are answered, each once.
        """
        answered = self.answered
        first = answered.start if start == 0 else ceil(self.offset + self.stride * start)
        last = answered.stop if stop == self.cells else ceil(self.offset + self.stride * stop)
        return range(max(first, answered.start), min(last, answered.stop))

    def between(
        self, pixels: range
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """For each pixel the output before it, the one after, and the share of the latter.

        Exact: the share is one quotient of integers.
        """
        a, b = self.stride.numerator, self.stride.denominator
        c, d = self.offset.numerator, self.offset.denominator
        place = (np.arange(pixels.start, pixels.stop, dtype=np.int64) * d - c) * b
        before, rest = np.divmod(place, a * d)
        share = (rest / (a * d)).astype(np.float32)
        last = self.cells - 1
        return np.clip(before, 0, last), np.clip(before + 1, 0, last), share


def bilinear(
    values: NDArray[np.float32],
    first: tuple[int, int],
    lattices: tuple[Lattice, Lattice],
    pixels: tuple[range, range],
) -> NDArray[np.float32]:
    """Values (channels, h, w) of outputs from `first` on, between them: (channels, rows, columns).

    Args:
        values: of all outputs that the pixels lie between.
        first: the row and column of the first of them.
        lattices: of both axes.
        pixels: rows and columns.
    """
    for axis in (1, 2):
        lattice, wanted = lattices[axis - 1], pixels[axis - 1]
        before, after, share = lattice.between(wanted)
        start = first[axis - 1]
        if lattice.on_pixels:
            values = _at(values, axis, before - start)
            continue
        one, other = _at(values, axis, before - start), _at(values, axis, after - start)
        values = one + (other - one) * share.reshape((-1, 1) if axis == 1 else (1, -1))
    return values


def nearest(
    classes: NDArray[Any],
    first: tuple[int, int],
    lattices: tuple[Lattice, Lattice],
    pixels: tuple[range, range],
) -> NDArray[Any]:
    """As `bilinear`, of classes (channels, h, w), which have no middle: those of the nearer."""
    for axis in (1, 2):
        before, after, share = lattices[axis - 1].between(pixels[axis - 1])
        classes = _at(classes, axis, np.where(share < 0.5, before, after) - first[axis - 1])
    return classes


def _at(values: NDArray[Any], axis: int, places: NDArray[np.int64]) -> NDArray[Any]:
    """Rows or columns; a view where they follow on each other."""
    if len(places) and places[-1] - places[0] == len(places) - 1 and (np.diff(places) == 1).all():
        part = slice(int(places[0]), int(places[-1]) + 1)
        return values[:, part] if axis == 1 else values[:, :, part]
    return values.take(places, axis)
