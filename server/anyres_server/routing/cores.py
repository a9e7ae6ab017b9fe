"""How large the tiles of an image should be: the cut that computes the fewest pixels.

What a halo costs depends on the cut: `n` tiles along an axis of `N` pixels with halos of `h` pixels
in all compute about `N + (n - 1) h` of them. Few large tiles compute less and hold more. So:

* of all cuts whose largest tile stays below a budget, that with the fewest computed pixels is
  taken, with cores of any shape: what is cut along one axis only has no halo along the other;
* the budget is the tiles' own as long as halos add at most a seventh to the image, and doubles
  until they do, up to the limit of a piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TypeAlias

from anyres_analyzer.tiling.plan import AxisRule, plan_axis

Size: TypeAlias = tuple[int, int]  # height, width
Bytes: TypeAlias = Callable[[Size], int]  # that a tile takes
CHEAP = 8 / 7  # pixels computed for each of the image's, above which larger tiles are tried
SHAPES = 8  # cores half and twice as high as a square one, in so many steps each
FEW = 48  # heights that are all tried


@dataclass(frozen=True)
class Axis:
    """One axis of an image, and how it may be cut."""

    side: int
    rule: AxisRule

    @property
    def most(self) -> int:
        """Alignments in the largest core that makes sense."""
        return ceil(self.side / self.rule.alignment)

    def core(self, alignments: int) -> int:
        """As many cores as with so many alignments each, but of equal width: no sliver at the end.

        In pixels.
        """
        count = ceil(self.side / (alignments * self.rule.alignment))
        return ceil(ceil(self.side / count) / self.rule.alignment) * self.rule.alignment

    def longest(self, core: int) -> int:
        """Pixels of the longest tile with such cores."""
        return _lengths(self.side, core, self.rule)[0]

    def computed(self, core: int) -> int:
        """Pixels of all tiles with such cores."""
        return _lengths(self.side, core, self.rule)[1]


@lru_cache(maxsize=4096)
def _lengths(side: int, core: int, rule: AxisRule) -> tuple[int, int]:
    lengths = [tile.stop - tile.start for tile in plan_axis(side, core, rule)]
    return max(lengths), sum(lengths)


@dataclass(frozen=True)
class Cutter:
    """Cuts an image of two axes whose tiles take `cost` bytes."""

    rows: Axis
    columns: Axis
    cost: Bytes

    def best(self, tile_bytes: int, most_bytes: int) -> Size | None:
        """The cores' height and width; None where not even the smallest tile fits."""
        found: list[Size] = []
        budget = min(tile_bytes, most_bytes)
        while True:
            fits = self.within(budget)
            found += [fits] if fits else []
            if (fits and self.cheap(fits)) or budget >= most_bytes:
                return min(found, key=self.computed, default=None)
            budget = min(2 * budget, most_bytes)

    def within(self, budget: int) -> Size | None:
        """The cores of the cut with the fewest computed pixels whose tiles take `budget` bytes."""
        cuts = [
            (core, width)
            for core in self._heights(budget)
            if (width := self._width(core, budget)) is not None
        ]
        return min(cuts, key=self.computed, default=None)

    def cheap(self, core: Size) -> bool:
        """Whether halos add little to what is computed."""
        return self.computed(core) <= CHEAP * self.rows.side * self.columns.side

    def computed(self, core: Size) -> int:
        """Pixels that all tiles of a cut have."""
        return self.rows.computed(core[0]) * self.columns.computed(core[1])

    def _heights(self, budget: int) -> Iterator[int]:
        """Heights of cores worth a look: all of few, else the image's own and about a square's."""
        if self.rows.most <= FEW:
            yield from {self.rows.core(units) for units in range(1, self.rows.most + 1)}
            return
        step = self.rows.rule.alignment
        largest = max(self.rows.side, self.columns.side)

        def square_fits(pixels: int) -> bool:
            height, width = (axis.core(_units(axis, pixels)) for axis in (self.rows, self.columns))
            return self._fits((height, width), budget)

        square = most_that(lambda units: square_fits(units * step), ceil(largest / step))
        around = {
            min(self.rows.most, max(1, round(square * 2 ** (n / SHAPES))))
            for n in range(-SHAPES, SHAPES + 1)
        }
        yield from {self.rows.core(units) for units in around | {1, self.rows.most}}

    def _width(self, height: int, budget: int) -> int | None:
        """Of the widest cores of this height that fit."""
        fitting = most_that(
            lambda units: self._fits((height, self.columns.core(units)), budget),
            self.columns.most,
        )
        return self.columns.core(fitting) if fitting else None

    def _fits(self, core: Size, budget: int) -> bool:
        tile = self.rows.longest(core[0]), self.columns.longest(core[1])
        return self.cost(tile) <= budget


def _units(axis: Axis, pixels: int) -> int:
    """Alignments in a core of about so many pixels."""
    return min(axis.most, max(1, pixels // axis.rule.alignment))


def most_that(fits: Callable[[int], bool], most: int) -> int:
    """The largest of 1..most that fits, where all smaller ones do; 0 if none does."""
    good, bad = 0, most + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good
