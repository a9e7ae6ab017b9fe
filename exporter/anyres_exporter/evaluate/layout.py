"""Where everything is in the picture of a confusion matrix, in pixels.

margin | caption | names | matrix | bars of quality | margin
"""

from __future__ import annotations

from dataclasses import dataclass

from anyres_exporter.evaluate.lettering import Letters

WITH_NUMBERS = 30  # classes, whose shares are written into the cells
LONGEST_NAME = 13  # in letters' sizes
# (at most so many classes, a cell's side)
_CELLS = ((8, 104), (14, 84), (20, 68), (WITH_NUMBERS, 58), (60, 30), (200, 18))


@dataclass(frozen=True)
class Layout:
    """Where everything is, in pixels; all measures follow from the letters and the cells."""

    classes: int
    cell: int
    letters: int  # the size of names
    names: int  # the length of the longest
    upright: bool  # whether the columns' names stand on end

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Layout:
        """Measures for these classes; the more there are, the smaller."""
        n = len(names)
        cell = next((cell for most, cell in _CELLS if n <= most), max(3, 2800 // n))
        letters = min(24, max(14, round(cell * 0.8)))
        text = Letters(letters, (0, 0, 0))
        longest = min(max(text.wide(name) for name in names), LONGEST_NAME * letters)
        return cls(n, cell, letters, longest, upright=longest > cell * 0.9)

    @property
    def title(self) -> int:
        """The size of the largest letters."""
        return 38

    @property
    def margin(self) -> int:
        """What stays free all around."""
        return 56

    @property
    def left(self) -> int:
        """Where the matrix begins."""
        return self.margin + round(2.2 * self.small) + self.names + self.letters

    @property
    def top(self) -> int:
        """Where the matrix begins."""
        above = self.names if self.upright else self.letters
        return self.margin + 4 * self.title + round(2.4 * self.small) + above + self.letters

    @property
    def small(self) -> int:
        """The size of captions."""
        return 22

    @property
    def side(self) -> int:
        """How long a side of the matrix is."""
        return self.classes * self.cell

    @property
    def bar(self) -> int:
        """How long a full bar of quality is."""
        return 180

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        right = self.left + self.side + self.letters + self.bar + 5 * self.small
        return max(right + self.margin, 1240), self.top + self.side + 7 * self.small + self.margin

    @property
    def every(self) -> int:
        """Of how many classes one has its name written."""
        return -(-round(self.letters * 1.15) // self.cell)

    def middle(self, index: int) -> float:
        """Of a row or column, from the matrix's beginning."""
        return (index + 0.5) * self.cell
