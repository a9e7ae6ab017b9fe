"""Receptive fields as intervals of whole pixels, phase by phase.

Along one spatial axis output `o` depends on input pixels first(o) .. last(o), and both repeat:

    first(o + phases) = first(o) + advance        last(o + phases) = last(o) + advance

so a layer is a short table, a chain of layers is a composition of tables, and a join of branches is
their hull. After downsampling alone there is one phase; upsampling makes several, which see
differently far to the left and to the right. `advance / phases` is the effective stride, and
output `o` is centred on pixel `scale * o + centre`. The terms are those of Araujo et al.,
"Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019).

Example: a 3x3 convolution padded by 1 has the one phase (-1, 1) and advances by 1; after a 2x2 pool
with stride 2, (0, 1) advancing by 2, the two see (-2, 3), six pixels, and advance by 2. The nearest
pixel enlarged by 2 has the phases (0, 0) and (0, 0), and advances by 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, gcd, lcm
from typing import Self, TypeAlias, TypeVar

Interval: TypeAlias = tuple[int, int]  # first and last pixel; the last is below where it is empty
Taps: TypeAlias = Callable[[Fraction], Interval]  # the pixels read for a point between pixels

T = TypeVar("T", bound="Reach")

MOST_PHASES = 4096  # beyond, no tile is long enough to matter


@dataclass(frozen=True)
class Reach:
    """What each output reads; see above."""

    phases: tuple[Interval, ...]
    advance: int
    centre: Fraction

    @cached_property
    def scale(self) -> Fraction:
        """The effective stride: input pixels for each output."""
        return Fraction(self.advance, len(self.phases))

    def at(self, output: int) -> Interval:
        """The pixels of any output, not clipped to the image."""
        period, phase = divmod(output, len(self.phases))
        first, last = self.phases[phase]
        return first + self.advance * period, last + self.advance * period

    def phases_after(self, inner: Reach) -> int:
        """How many `after` would have: they are told before they are made."""
        return len(self.phases) * self._repeats(inner)

    def after(self, inner: T) -> T:
        """The reach of this layer applied to the output of `inner`."""
        repeats = self._repeats(inner)
        outputs = range(len(self.phases) * repeats)
        return type(inner)(
            tuple(inner._hull(*self.at(output)) for output in outputs),
            inner.advance * (self.advance * repeats // len(inner.phases)),
            inner.scale * self.centre + inner.centre,
        )

    def union(self, other: Self) -> Self:
        """The hull of two branches that join; their scales must be equal."""
        assert self.scale == other.scale, "branches of different stride have no common reach"
        if self.phases == other.phases:
            return self
        outputs = range(lcm(len(self.phases), len(other.phases)))
        return type(self)(
            tuple(self._together((self.at(output), other.at(output))) for output in outputs),
            self.advance * len(outputs) // len(self.phases),
            self.centre,
        )

    @cached_property
    def low(self) -> Fraction:
        """The smallest value such that no output `o` reads before scale * o + low."""
        return min(first - self.scale * o for o, (first, _) in enumerate(self.phases))

    @cached_property
    def high(self) -> Fraction:
        """The largest, likewise."""
        return max(last - self.scale * o for o, (_, last) in enumerate(self.phases))

    @property
    def size(self) -> int:
        """The receptive field in pixels, at the widest phase."""
        return max(last - first + 1 for first, last in self.phases)

    @property
    def before(self) -> int:
        """How many pixels before 0 the outputs from 0 on read."""
        return max(0, -min(first for first, _ in self.phases))

    @property
    def beyond(self) -> int:
        """How many pixels from 0 on the outputs before 0 read."""
        return max(0, max(last for _, last in self.phases) - self.advance + 1)

    def _repeats(self, inner: Reach) -> int:
        return len(inner.phases) // gcd(len(inner.phases), self.advance)

    def _hull(self, first: int, last: int) -> Interval:
        """What outputs first .. last read together."""
        if last < first:
            start = self.at(first)[0]
            return start, start - 1
        if len(self.phases) == 1:
            return self.at(first)[0], self.at(last)[1]
        if last - first < 2 * len(self.phases):
            return self._together(self.at(output) for output in range(first, last + 1))
        phases = len(self.phases)  # the outermost periods hold the extremes of all
        outermost = *range(first, first + phases), *range(last - phases + 1, last + 1)
        return self._together(self.at(output) for output in outermost)

    @staticmethod
    def _together(intervals: Iterable[Interval]) -> Interval:
        return _hull(intervals)


class Cover(Reach):
    """What a tile must hold for each output to exist: two demands, and not a set of pixels.

    It begins at `first` or before, and goes on to `last` or beyond. Where a layer makes more cells
    than there are pixels the second may lie before the first, and the first holds as it did.
    """

    @staticmethod
    def _together(intervals: Iterable[Interval]) -> Interval:
        every = list(intervals)
        return min(first for first, _ in every), max(last for _, last in every)


def _hull(intervals: Iterable[Interval]) -> Interval:
    every = list(intervals)
    full = [interval for interval in every if interval[0] <= interval[1]]
    if not full:
        return every[0]
    return min(first for first, _ in full), max(last for _, last in full)


IDENTITY = Reach(((0, 0),), 1, Fraction(0))
ITSELF = Cover(((0, 0),), 1, Fraction(0))


def window(taps: int, stride: int, dilation: int, pad_before: int) -> Reach:
    """A convolution or pool: output `o` reads inputs stride * o - pad_before + dilation * t."""
    first, last = -pad_before, dilation * (taps - 1) - pad_before
    return Reach(((first, last),), stride, Fraction(first + last, 2))


def sliding(first: int, last: int, stride: int) -> Reach:
    """A window of which only the hull is known: padding that depends on the image's size."""
    return Reach(((first, last),), stride, Fraction(first + last, 2))


def transposed(taps: int, stride: int, dilation: int, pad_before: int) -> Reach:
    """Input `j` paints outputs j * stride - pad_before + dilation * t; read from the output.

    A phase that no tap paints is the bias alone, and reads nothing.
    """

    def painters(output: int) -> Interval:
        at = [output + pad_before - dilation * tap for tap in range(taps)]
        inputs = [place // stride for place in at if place % stride == 0]
        beside = ceil(Fraction(at[-1], stride))
        return (min(inputs), max(inputs)) if inputs else (beside, beside - 1)

    return Reach(
        tuple(painters(output) for output in range(stride)),
        1,
        Fraction(pad_before, stride) - Fraction(dilation * (taps - 1), 2 * stride),
    )


def shift(offset: int) -> Reach:
    """A crop (positive) or padding (negative) at the beginning."""
    return Reach(((offset, offset),), 1, Fraction(offset))


def pixel_shuffle(block: int) -> Reach:
    """DepthToSpace: output `o` reads input floor(o / block)."""
    return Reach(((0, 0),) * block, 1, Fraction(1 - block, 2 * block))


def pixel_unshuffle(block: int) -> Reach:
    """SpaceToDepth: output `o` reads inputs block * o .. block * o + block - 1."""
    return window(block, block, 1, 0)


def resize(factor: Fraction, origin: Fraction, taps: Taps, slack: Fraction = Fraction(0)) -> Reach:
    """ONNX Resize by a constant factor.

    Output `o` falls on the input at x(o) = o / factor + origin, or up to `slack` beside it (behind
    where positive); `taps` says what is read there. Beyond the first or last pixel that one is
    read: output `o` is the image's last where the image has ceil((o + 1) / factor) pixels.
    """
    anywhere = doubtful(taps) if slack else taps
    phases = []
    for output in range(factor.numerator):
        place = output / factor + origin
        first, last = _hull((anywhere(place), anywhere(place + slack)))
        phases.append((min(first, ceil((output + 1) / factor) - 1), max(last, 0)))
    middles = (sum(taps(o / factor + origin)) / Fraction(2) for o in range(factor.numerator))
    deviations = [middle - o / factor for o, middle in enumerate(middles)]
    centre = sum(deviations, Fraction(0)) / len(deviations) + slack / 2
    return Reach(tuple(phases), factor.denominator, centre)


def floor_taps(place: Fraction) -> Interval:
    """The pixel before."""
    return floor(place), floor(place)


def ceil_taps(place: Fraction) -> Interval:
    """The pixel behind."""
    return ceil(place), ceil(place)


def half_down_taps(place: Fraction) -> Interval:
    """The nearest pixel, the one before where two are as near."""
    return ceil(place - Fraction(1, 2)), ceil(place - Fraction(1, 2))


def half_up_taps(place: Fraction) -> Interval:
    """The nearest pixel, the one behind where two are as near."""
    return floor(place + Fraction(1, 2)), floor(place + Fraction(1, 2))


def linear_taps(place: Fraction) -> Interval:
    """Both neighbours; of a place that is a pixel, that one."""
    return floor(place), ceil(place)


def cubic_taps(place: Fraction) -> Interval:
    """Two neighbours on either side; of a place that is a pixel, that one."""
    between = place.denominator > 1
    return floor(place) - between, ceil(place) + between


def doubtful(taps: Taps) -> Taps:
    """The same where a runtime's arithmetic may take a place for one a little beside it."""
    little = Fraction(1, 1000)
    return lambda place: _hull((taps(place - little), taps(place + little)))


def wide_taps(radius: Fraction) -> Taps:
    """An antialiasing filter of this radius."""
    return lambda place: (ceil(place - radius), floor(place + radius))
