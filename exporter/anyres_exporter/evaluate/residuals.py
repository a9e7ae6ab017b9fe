"""Errors of predicted numbers, summed picture by picture.

With labels y_k, predictions p_k and the labels' mean m over all n values of a channel:

    MAE   sum_k |p_k - y_k| / n
    RMSE  sqrt(sum_k (p_k - y_k)^2 / n)
    R^2   1 - sum_k (p_k - y_k)^2 / sum_k (y_k - m)^2       undefined where all y_k are equal

The sum in R^2's denominator is merged from part to part as Chan, Golub and LeVeque (1979) do it,
because sum y^2 - n m^2 would cancel where values are large and alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Worst:
    """The value that is furthest off: where it is, what it should be and what it is."""

    picture: str
    pixel: tuple[int, int] | None  # (x, y); None where the picture has one answer
    label: float
    found: float

    @property
    def error(self) -> float:
        """How far off, without its sign."""
        return abs(self.found - self.label)


@dataclass(frozen=True)
class Residuals:
    """What is known of one channel's errors so far; sums are in the labels' unit."""

    count: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    mean: float = 0.0  # of the labels
    spread: float = 0.0  # sum of the labels' squared distances from their mean
    worst: Worst | None = None

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return self.absolute / self.count

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return sqrt(self.squared / self.count)

    @property
    def r2(self) -> float | None:
        """Share of the labels' variance that is explained; None where they do not vary."""
        return 1 - self.squared / self.spread if self.spread else None

    def merged(self, other: Residuals) -> Residuals:
        """Both together."""
        count = self.count + other.count
        if not (self.count and other.count):
            return self if self.count else other
        apart = other.mean - self.mean
        found = [one for one in (self.worst, other.worst) if one is not None]
        return Residuals(
            count,
            self.absolute + other.absolute,
            self.squared + other.squared,
            self.mean + apart * other.count / count,
            self.spread + other.spread + apart**2 * self.count * other.count / count,
            max(found, key=lambda worst: worst.error),
        )


def residuals(
    labels: NDArray[np.float64], found: NDArray[np.float64], picture: str, corner: tuple[int, int]
) -> Residuals:
    """Of one channel of a part of a picture.

    Args:
        labels: (h, w); values that are no finite numbers are not counted.
        found: (h, w).
        picture: its name.
        corner: where in the picture the part begins, (x, y).
    """
    known = np.isfinite(labels)
    if not known.any():
        return Residuals()
    values, errors = labels[known], np.abs(found[known] - labels[known])
    y, x = (int(places[errors.argmax()]) for places in np.nonzero(known))
    worst = Worst(picture, (corner[0] + x, corner[1] + y), float(labels[y, x]), float(found[y, x]))
    mean = float(values.mean())
    return Residuals(
        len(values),
        float(errors.sum()),
        float(np.square(errors).sum()),
        mean,
        float(np.square(values - mean).sum()),
        worst,
    )


def without_pixel(one: Residuals) -> Residuals:
    """The same of a picture that has one answer."""
    return replace(one, worst=replace(one.worst, pixel=None)) if one.worst else one
