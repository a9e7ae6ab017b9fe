"""Connected regions against a flood fill, and what is made of their masks against the masks."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from anyres_client.outlines import area, coco_rle, rings
from anyres_client.regions import regions

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MAPS = arrays(np.uint8, SIZES, elements=st.integers(0, 2))
MASKS = arrays(np.bool_, SIZES)
AROUND = [(-1, 0), (0, -1), (0, 1), (1, 0)]
CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def flooded(
    classes: NDArray[Any], *, diagonal: bool
) -> set[tuple[int, frozenset[tuple[int, int]]]]:
    """Every region's class and cells, cell by cell."""
    left = {(int(r), int(c)) for r, c in np.ndindex(classes.shape)}
    found = set()
    while left:
        start = left.pop()
        cells, waiting = {start}, deque([start])
        while waiting:
            row, column = waiting.popleft()
            for down, right in AROUND + CORNERS * diagonal:
                cell = (row + down, column + right)
                if cell in left and classes[cell] == classes[start]:
                    left.remove(cell)
                    cells.add(cell)
                    waiting.append(cell)
        found.add((int(classes[start]), frozenset(cells)))
    return found


@given(MAPS, st.booleans())
def test_regions_are_those_of_a_flood_fill(classes: NDArray[Any], diagonal: bool) -> None:
    found = regions(classes, diagonal=diagonal)
    cells = [
        (region.class_index, frozenset((int(r), int(c)) for r, c in np.argwhere(region.mask())))
        for region in found
    ]
    assert len(cells) == len(set(cells))
    assert set(cells) == flooded(classes, diagonal=diagonal)


@given(MAPS)
def test_area_box_and_mean_are_those_of_the_mask(classes: NDArray[Any]) -> None:
    values = np.arange(classes.size, dtype=float).reshape(classes.shape)
    for region in regions(classes):
        rows, columns = np.nonzero(region.mask())
        assert region.area == len(rows)
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert region.box == expected
        assert region.mean(values) == pytest.approx(values[rows, columns].mean())


def test_regions_come_in_the_order_of_their_first_cells() -> None:
    classes = np.array([[1, 0, 2], [1, 0, 0], [3, 3, 3]])
    assert [region.class_index for region in regions(classes)] == [1, 0, 2, 3]


@given(MASKS)
def test_rings_enclose_exactly_the_mask(mask: NDArray[np.bool_]) -> None:
    found = rings(mask)
    assert sum(map(area, found)) == mask.sum()
    height, width = mask.shape
    for row, column in np.ndindex(height, width):
        winding = sum(_winds(ring, column + 0.5, row + 0.5) for ring in found)
        assert winding == mask[row, column]


def _winds(ring: list[tuple[int, int]], x: float, y: float) -> int:
    """How often a ring goes around a point: crossings of the ray to the right, signed."""
    turns = 0
    for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
        assert (x1 == x2) != (y1 == y2), "rings have right angles and no corner twice"
        if x1 == x2 and x1 > x and min(y1, y2) < y < max(y1, y2):
            turns += 1 if y2 > y1 else -1
    return turns


@given(MASKS)
def test_a_ring_has_corners_only_where_it_turns(mask: NDArray[np.bool_]) -> None:
    for ring in rings(mask):
        for before, at, after in zip(ring[-1:] + ring[:-1], ring, ring[1:] + ring[:1], strict=True):
            assert not before[0] == at[0] == after[0]
            assert not before[1] == at[1] == after[1]


def test_rings_of_a_frame_are_an_outer_one_and_its_hole() -> None:
    frame = np.ones((3, 3), bool)
    frame[1, 1] = False
    outer, hole = rings(frame, left=10, top=20)
    assert set(outer) == {(10, 20), (13, 20), (13, 23), (10, 23)}
    assert (area(outer), area(hole)) == (9, -1)


@given(MASKS)
def test_run_lengths_are_cocos(mask: NDArray[np.bool_]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert coco_rle(mask) == {
        "size": list(theirs["size"]),
        "counts": theirs["counts"].decode("ascii"),
    }


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=6))
def test_long_run_lengths_are_cocos(lengths: list[int]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)[:, None]
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert coco_rle(mask)["counts"] == theirs["counts"].decode("ascii")
