"""Receptive fields as intervals: which input pixels can change an output pixel.

Along one spatial axis, output pixel `i` depends on input pixels in

    [scale * i + low, scale * i + high]

so a layer is a `Reach`, a chain of layers is a composition, and a join of branches is a union.
Bounds are fractions because upsampling divides by its stride. The terms are those of Araujo et al.,
"Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019): `scale` is the
effective stride. Example: a 3x3 convolution padded by 1 is Reach(1, -1, 1); after a 2x2 pool with
stride 2, Reach(2, 0, 1), the two see Reach(2, -2, 3): six pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm
from typing import TypeAlias

Taps: TypeAlias = tuple[Fraction, Fraction]  # how far before and after a point


@dataclass(frozen=True)
class Reach:
    """The input interval of output pixel `i`: [scale * i + low, scale * i + high]."""

    scale: Fraction
    low: Fraction
    high: Fraction

    def after(self, inner: Reach) -> Reach:
        """The reach of this layer applied to the output of `inner`."""
        return Reach(
            self.scale * inner.scale,
            self.low * inner.scale + inner.low,
            self.high * inner.scale + inner.high,
        )

    def union(self, other: Reach) -> Reach:
        """The hull of two branches that join; their scales must be equal."""
        assert self.scale == other.scale, "branches of different stride have no common reach"
        return Reach(self.scale, min(self.low, other.low), max(self.high, other.high))

    def pixels(self, index: int) -> range:
        """The input pixels that output pixel `index` can depend on, not clipped to the image."""
        return range(ceil(self.scale * index + self.low), floor(self.scale * index + self.high) + 1)

    @property
    def size(self) -> int:
        """The receptive field in pixels, at the widest phase."""
        return max(len(self.pixels(phase)) for phase in range(self.scale.denominator))


IDENTITY = Reach(Fraction(1), Fraction(0), Fraction(0))


def window(taps: int, stride: int, dilation: int, pad_before: int) -> Reach:
    """A convolution or pool: output `o` reads inputs stride * o - pad_before + dilation * t."""
    return Reach(
        Fraction(stride), Fraction(-pad_before), Fraction(dilation * (taps - 1) - pad_before)
    )


def transposed(taps: int, stride: int, dilation: int, pad_before: int) -> Reach:
    """Input `j` paints outputs j * stride - pad_before + dilation * t; read from the output."""
    return Reach(
        Fraction(1, stride),
        Fraction(pad_before - dilation * (taps - 1), stride),
        Fraction(pad_before, stride),
    )


def shift(offset: int) -> Reach:
    """A crop (positive) or padding (negative) at the beginning."""
    return Reach(Fraction(1), Fraction(offset), Fraction(offset))


def pixel_shuffle(block: int) -> Reach:
    """DepthToSpace: output `o` reads input floor(o / block)."""
    return Reach(Fraction(1, block), Fraction(1 - block, block), Fraction(0))


def pixel_unshuffle(block: int) -> Reach:
    """SpaceToDepth: output `o` reads inputs block * o .. block * o + block - 1."""
    return Reach(Fraction(block), Fraction(0), Fraction(block - 1))


def resize(factor: Fraction, coordinates: str, taps: Callable[[int], Taps]) -> Reach:
    """ONNX Resize by a constant factor.

    Output `o` falls on the input at x(o). Every x lies on a lattice of step 1/q; `taps` says how
    far from x it reads at most, given q. Beyond the first or last pixel it reads that one.
    """
    origin = Fraction(0) if coordinates == "asymmetric" else (1 / factor - 1) / 2
    before, after = taps(lcm(origin.denominator, factor.numerator))
    beyond = 1 - 1 / factor + origin  # how far the last output falls beyond the last pixel
    return Reach(1 / factor, origin - max(before, beyond), origin + max(after, -origin))


def floor_taps(lattice: int) -> Taps:
    """Rounding down moves x by at most 1 - 1/q."""
    return 1 - Fraction(1, lattice), Fraction(0)


def ceil_taps(lattice: int) -> Taps:
    """Rounding up, likewise."""
    return Fraction(0), 1 - Fraction(1, lattice)


def round_taps(lattice: int) -> Taps:
    """Rounding to the nearest, either way where two are as near."""
    most = Fraction(lattice // 2, lattice)
    return most, most


def linear_taps(lattice: int) -> Taps:
    """Both neighbours of x; where x is whole, the second has no weight."""
    most = 1 - Fraction(1, lattice)
    return most, most


def cubic_taps(lattice: int) -> Taps:
    """The neighbours' neighbours too; an x within rounding of a whole number has no further."""
    most = 2 - Fraction(1, lattice)
    return most, most


def wide_taps(radius: Fraction) -> Callable[[int], Taps]:
    """An antialiasing filter of this radius."""
    return lambda lattice: (radius, radius)
