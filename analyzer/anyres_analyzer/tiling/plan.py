"""Cuts an image into tiles whose stitched outputs equal the whole image's: pure arithmetic.

One axis of an image of N pixels. `=` is the core a tile answers for, `-` its halo:

    0            core           2 core          3 core      N
    |==============|==============|==============|==========|
    [==============------]
             [-----==============------]
                            [-----==============------]
                                           [-----===========]
             ^start ^core_start  ^core_stop ^stop

T1  A tile starts on a multiple of the alignment A, so that every strided lattice in the network
    coincides with the whole image's. Cores begin on multiples of A too, so the halo before the
    core is rounded up to one.
T2  Between core and edge lie at least `halo_before` and `halo_after` real pixels ...
T3  ... except at the image's own borders, where the tile ends exactly and the network pads.
T4  A tile's own length is one that the network takes: `minimum + k * step`. Inside the image it is
    a multiple of A beyond the minimum's residue, so that a network which pads itself to its step
    finds nothing to pad. A tile that would reach N answers for all the rest.

Example: N = 20, A = 4, halos 3 and 2, core 8 gives [0, 12) for [0, 8) and [4, 20) for [8, 20).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product


@dataclass(frozen=True)
class AxisRule:
    """How one axis may be cut, in input pixels; `minimum` and `step` are the size contract's."""

    alignment: int
    halo_before: int
    halo_after: int
    minimum: int = 1
    step: int = 1

    @property
    def lead(self) -> int:
        """Pixels before a core inside the image: `halo_before` on the alignment (T1)."""
        return _up(self.halo_before, self.alignment)

    def length(self, needed: int) -> int:
        """The shortest length of a tile inside the image that holds `needed` pixels (T4)."""
        residue = self.minimum % self.step
        return residue + _up(max(needed, self.minimum) - residue, self.alignment)


@dataclass(frozen=True)
class AxisTile:
    """Pixels [start, stop) go in; the answer for [core_start, core_stop) is kept."""

    start: int
    stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True)
class Tile:
    """One tile of an image: its rows and its columns."""

    rows: AxisTile
    columns: AxisTile

    @property
    def size(self) -> tuple[int, int]:
        """The height and width that go through the network."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


@dataclass(frozen=True)
class Cut:
    """Where a tile's outputs go: `grid[cut.whole] = tile_output[cut.part]`."""

    start: int
    stop: int
    skip: int  # outputs of the tile's halo, before its core's

    @property
    def whole(self) -> slice:
        """The place in the whole grid."""
        return slice(self.start, self.stop)

    @property
    def part(self) -> slice:
        """The place in the tile's own output."""
        return slice(self.skip, self.skip + self.stop - self.start)


def plan_axis(size: int, core: int, rule: AxisRule) -> tuple[AxisTile, ...]:
    """Tiles along one axis of `size` pixels, in order, with cores of `core` pixels.

    Raises:
        ValueError: `core` is no positive multiple of the alignment, or `size` below the minimum.
    """
    if core < 1 or core % rule.alignment:
        raise ValueError(f"a core of {core} is no positive multiple of {rule.alignment}")
    if size < rule.minimum:
        raise ValueError(f"{size} pixels are below the minimum of {rule.minimum}")
    return tuple(_tiles(size, core, rule))


def plan(
    size: tuple[int, int], core: tuple[int, int], rules: tuple[AxisRule, AxisRule]
) -> tuple[Tile, ...]:
    """Tiles of an image (height, width), row by row."""
    rows, columns = (plan_axis(n, c, r) for n, c, r in zip(size, core, rules, strict=True))
    return tuple(Tile(row, column) for row, column in product(rows, columns))


def cut(tile: AxisTile, stride: Fraction, size: int, outputs: int) -> Cut:
    """The outputs that a tile answers for, of the `outputs` that `size` pixels give.

    `stride` is the output's effective stride. The last tile answers for all that is left, be it
    more (a network that pads) or less (one that does not) than its core's share.
    """
    start = min(_output(tile.core_start, stride), outputs)
    stop = outputs if tile.core_stop == size else min(_output(tile.core_stop, stride), outputs)
    return Cut(start, stop, skip=start - _output(tile.start, stride))


def _tiles(size: int, core: int, rule: AxisRule) -> Iterator[AxisTile]:
    core_start = 0
    while core_start < size:
        start = max(0, core_start - rule.lead)
        stop = start + rule.length(core_start + core + rule.halo_after - start)
        if stop >= size:
            yield AxisTile(min(start, _last_start(size, rule)), size, core_start, size)
            return
        yield AxisTile(start, stop, core_start, core_start + core)
        core_start += core


def _last_start(size: int, rule: AxisRule) -> int:
    """The latest start on the alignment that leaves the last tile its minimal length."""
    return (size - rule.minimum) // rule.alignment * rule.alignment


def _output(pixel: int, stride: Fraction) -> int:
    """The output that an aligned pixel belongs to."""
    position = pixel / stride
    assert position.denominator == 1, f"pixel {pixel} lies between outputs of stride {stride}"
    return position.numerator


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
