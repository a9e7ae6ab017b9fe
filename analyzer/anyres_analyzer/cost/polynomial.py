"""Exact polynomials in the height and width of an image, over one residue class of sizes.

With H = h0 + A u and W = w0 + B v every size is a pair of whole numbers (u, v), and a polynomial
that is whole there has whole coefficients in the binomial basis C(u, i) C(v, j) (Newton's forward
differences), so nothing is ever rounded.

Example: the values 1, 4, 9 at u = 0, 1, 2 have the differences 1, 3, 2: 1 + 3 u + 2 C(u, 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.object_]  # Python's integers, which never overflow
Monomials: TypeAlias = dict[tuple[int, int], Fraction]  # (power of H, power of W) -> coefficient


@dataclass(frozen=True)
class Lattice:
    """The sizes (start[0] + period[0] * u, start[1] + period[1] * v), u and v from 0 on."""

    start: tuple[int, int]
    period: tuple[int, int]

    def size(self, u: int, v: int) -> tuple[int, int]:
        """The height and width at (u, v)."""
        return self.start[0] + self.period[0] * u, self.start[1] + self.period[1] * v

    def place(self, height: int, width: int) -> tuple[int, int] | None:
        """(u, v) of a size; None where it is not of this lattice."""
        away = height - self.start[0], width - self.start[1]
        steps = tuple(divmod(n, period) for n, period in zip(away, self.period, strict=True))
        if any(rest for _, rest in steps) or min(away) < 0:
            return None
        return steps[0][0], steps[1][0]


def differences(values: Numbers) -> Numbers:
    """The coefficients of values at u = 0, 1, ... and v = 0, 1, ...: the first two axes."""
    found = values.copy()
    for axis in (0, 1):
        lines = np.moveaxis(found, axis, 0)
        for order in range(1, len(lines)):
            lines[order:] = lines[order:] - lines[order - 1 : -1]
    return found


def evaluate(coefficients: Numbers, u: int, v: int) -> Any:
    """The value at (u, v): a number, or an array where there are more than two axes."""
    rows, columns = coefficients.shape[:2]
    return sum(
        comb(u, i) * comb(v, j) * coefficients[i, j] for i in range(rows) for j in range(columns)
    )


def monomials(coefficients: Numbers, lattice: Lattice) -> Monomials:
    """The same polynomial in H and W."""
    rows, columns = (
        [_binomial(order, start, period) for order in range(orders)]
        for orders, start, period in zip(
            coefficients.shape, lattice.start, lattice.period, strict=True
        )
    )
    found: Monomials = {}
    for (i, j), coefficient in np.ndenumerate(coefficients):
        for height, in_height in enumerate(rows[i]):
            for width, in_width in enumerate(columns[j]):
                term = coefficient * in_height * in_width
                found[height, width] = found.get((height, width), Fraction(0)) + term
    return {powers: found[powers] for powers in sorted(found, key=_by_power) if found[powers]}


def _by_power(powers: tuple[int, int]) -> tuple[int, int]:
    return -sum(powers), -powers[0]


def _binomial(order: int, start: int, period: int) -> list[Fraction]:
    """C((n - start) / period, order) as coefficients of 1, n, n^2, ..."""
    product = [Fraction(1)]
    for k in range(order):  # times ((n - start) / period - k) / (k + 1)
        constant = Fraction(-start - k * period, period * (k + 1))
        slope = Fraction(1, period * (k + 1))
        product = list(_times(product, constant, slope))
    return product


def _times(product: list[Fraction], constant: Fraction, slope: Fraction) -> Iterator[Fraction]:
    for low, high in zip([Fraction(0), *product], [*product, Fraction(0)], strict=True):
        yield low * slope + high * constant
