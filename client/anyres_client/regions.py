"""Connected regions of a class map, held as runs: what of each row belongs to them.

    rows   a a a b b        runs of a: (0, 0..3) (1, 0..2)        a region is all runs of a class
           a a b b b        runs of b: (0, 3..5) (1, 2..5)        that touch, from row to row

A map of megapixels has few runs, so regions of all classes are found together, without a pass for
each, and area, box, mask and encodings all follow from a region's own runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_client.answers import Size

Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Region:
    """Cells of one class that belong together; runs are in row-major order."""

    class_index: int
    size: Size  # of the whole map, (height, width)
    rows: Indices
    starts: Indices  # the first column of each run
    stops: Indices  # one behind the last

    @cached_property
    def area(self) -> int:
        """How many cells."""
        return int((self.stops - self.starts).sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, the latter two one behind the last."""
        return (
            int(self.starts.min()),
            int(self.rows[0]),
            int(self.stops.max()),
            int(self.rows[-1]) + 1,
        )

    def crop(self) -> NDArray[np.bool_]:
        """Which cells of the box belong to it, (h, w)."""
        left, top, right, bottom = self.box
        steps = np.zeros((bottom - top, right - left + 1), np.int8)
        np.add.at(steps, (self.rows - top, self.starts - left), 1)
        np.add.at(steps, (self.rows - top, self.stops - left), -1)
        return steps[:, :-1].cumsum(axis=1, dtype=np.int8).astype(bool)

    def mask(self) -> NDArray[np.bool_]:
        """Which cells of the whole map belong to it, (h, w)."""
        whole = np.zeros(self.size, bool)
        left, top, right, bottom = self.box
        whole[top:bottom, left:right] = self.crop()
        return whole

    def mean(self, values: NDArray[Any]) -> float:
        """The mean of a map (h, w) over its cells."""
        left, top, right, bottom = self.box
        return float(values[top:bottom, left:right][self.crop()].mean())


def regions(classes: NDArray[Any], *, diagonal: bool = True) -> list[Region]:
    """The connected regions of a class map (h, w), in the order of their first cells.

    Args:
        classes: one class a cell.
        diagonal: whether cells that touch at a corner only are connected.
    """
    size = classes.shape[0], classes.shape[1]
    starts, stops = _runs(classes)
    names = classes.ravel()[starts]
    labels = _components(len(starts), *_touching(starts, stops, names, size[1], diagonal))
    order = np.argsort(labels, kind="stable")
    rows, columns = np.divmod(starts[order], size[1])
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    found = (rows, columns, columns + (stops - starts)[order], names[order])
    split = (np.split(each, bounds) for each in found)
    return [Region(int(n[0]), size, r, a, b) for r, a, b, n in zip(*split, strict=True)]


def labelled(labels: NDArray[Any], classes: Mapping[int, int]) -> list[tuple[int, Region]]:
    """The cells of each label (h, w) but 0, connected or not, as a region of the label's class."""
    size = labels.shape[0], labels.shape[1]
    starts, stops = _runs(labels)
    names = labels.ravel()[starts]
    found = []
    for label in np.unique(names[names != 0]).tolist():
        own = names == label
        rows, columns = np.divmod(starts[own], size[1])
        lengths = (stops - starts)[own]
        found.append((label, Region(classes[label], size, rows, columns, columns + lengths)))
    return found


def _runs(classes: NDArray[Any]) -> tuple[Indices, Indices]:
    """First cell and one behind the last of every run, as positions in the flattened map."""
    changes = np.ones(classes.shape, bool)
    changes[:, 1:] = classes[:, 1:] != classes[:, :-1]
    starts = np.flatnonzero(changes)
    return starts, np.append(starts[1:], classes.size)


def _touching(
    starts: Indices, stops: Indices, names: NDArray[Any], width: int, diagonal: bool
) -> tuple[Indices, Indices]:
    """Pairs of runs of one class, the second in the row below, that touch."""
    first = np.searchsorted(stops, starts + width, "left" if diagonal else "right")
    last = np.searchsorted(starts, stops + width, "right" if diagonal else "left")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(starts)), counts)
    below = np.arange(len(above)) - np.repeat(counts.cumsum() - counts, counts) + first[above]
    # A neighbour's position may lie in the row after next, or still in the same one.
    next_row = starts[below] // width == starts[above] // width + 1
    alike = next_row & (names[above] == names[below])
    return above[alike], below[alike]


def _components(count: int, one: Indices, other: Indices) -> Indices:
    """The smallest member of everyone's component.

    Hooking and pointer jumping (Shiloach and Vishkin, "An O(log n) parallel connectivity
    algorithm", 1982): as many rounds as the logarithm of the longest chain.
    """
    parent = np.arange(count)
    while True:
        low, high = np.sort((parent[one], parent[other]), axis=0)
        if (low == high).all():
            return parent
        np.minimum.at(parent, high, low)
        while (parent != parent[parent]).any():
            parent = parent[parent]
