"""A mask as others want it: rings of a polygon, and COCO's run lengths.

Rings run along the edges between cells, so that what they enclose is exactly the mask: the area by
the shoelace formula is its number of cells, holes counted negative. Corners are (x, y), the upper
left corner of the cell (row, column) being (column, row).

      0   1   2   3
    0 ┌───────────┐         outer ring, clockwise as seen: (0,0) (3,0) (3,3) (0,3)
    1 │   ┌───┐   │         hole, the other way round:     (1,1) (1,2) (2,2) (2,1)
    2 │   └───┘   │
    3 └───────────┘
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Corner: TypeAlias = tuple[int, int]  # x, y
Ring: TypeAlias = list[Corner]

# Directions in the order of turning right, as (dx, dy): east, south, west, north.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def rings(mask: Mask, left: int = 0, top: int = 0) -> list[Ring]:
    """The closed rings around a mask (h, w), its last corner not repeated; outer ones first.

    Args:
        mask: which cells.
        left: what to add to every x.
        top: what to add to every y.
    """
    edges = _edges(mask)
    found = []
    while edges:
        found.append([(x + left, y + top) for x, y in _ring(edges)])
    return sorted(found, key=area, reverse=True)


def area(ring: Ring) -> float:
    """The area that a ring encloses, in cells; negative for a hole (the shoelace formula)."""
    x, y = np.array(ring, float).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _edges(mask: Mask) -> dict[Corner, list[int]]:
    """The directions that lead on from each corner, with the mask on the right."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    outside = (
        (inner & ~padded[:-2, 1:-1], 0, 0),  # nothing above: east along the top
        (inner & ~padded[1:-1, 2:], 1, 0),  # nothing to the right: south along it
        (inner & ~padded[2:, 1:-1], 1, 1),  # nothing below: west
        (inner & ~padded[1:-1, :-2], 0, 1),  # nothing to the left: north
    )
    edges: dict[Corner, list[int]] = defaultdict(list)
    for direction, (cells, dx, dy) in enumerate(outside):
        for y, x in np.argwhere(cells).tolist():
            edges[x + dx, y + dy].append(direction)
    return edges


def _ring(edges: dict[Corner, list[int]]) -> Ring:
    """Follow edges from one corner back to it, using them up; only where the way turns."""
    start = corner = next(iter(edges))
    first = edges[start][0]
    heading = (first - 1) % 4  # as if the way to here had been another, so that it turns here
    ring: Ring = []
    while True:
        way = _onward(edges, corner, heading)
        if way != heading:
            ring.append(corner)
        dx, dy = _STEPS[way]
        corner, heading = (corner[0] + dx, corner[1] + dy), way
        # What is left at the start is another ring's, but where this one only passes by.
        if corner == start and (start not in edges or _right_of(heading) == first):
            return ring[1:] if heading == first else ring


def _onward(edges: dict[Corner, list[int]], corner: Corner, heading: int) -> int:
    """The next edge; where two cells meet at a corner only, to the right: the cell's own."""
    ways = edges[corner]
    way = ways[0] if len(ways) == 1 else _right_of(heading)
    ways.remove(way)
    if not ways:
        del edges[corner]
    return way


def _right_of(heading: int) -> int:
    return (heading + 1) % 4


def coco_rle(mask: Mask) -> dict[str, Any]:
    """COCO's compressed run lengths: {"size": [h, w], "counts": text}.

    Cells are counted down the columns, cells that do not belong first; see `rleToString` of
    https://github.com/cocodataset/cocoapi, whose files this is for.
    """
    return {"size": list(mask.shape), "counts": _as_text(_run_lengths(mask))}


def _run_lengths(mask: Mask) -> list[int]:
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], changes, [flat.size]))
    lengths = np.diff(bounds).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def _as_text(lengths: list[int]) -> str:
    """Each length as its difference to the last but one of its kind, five bits a character."""
    text = []
    for index, length in enumerate(lengths):
        rest = length - lengths[index - 2] if index > 2 else length
        more = True
        while more:
            bits = rest & 0x1F
            rest >>= 5
            more = rest != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(text)
