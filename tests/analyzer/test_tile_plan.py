"""Tile plans against the rules as they are defined, pixel by pixel, and against a real filter."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from anyres_analyzer.tiling.plan import AxisRule, AxisTile, Cut, cut, plan, plan_axis


@st.composite
def rules(draw: st.DrawFn) -> AxisRule:
    step = draw(st.sampled_from([1, 2, 4]))
    return AxisRule(
        alignment=step * draw(st.integers(1, 4)),
        halo_before=draw(st.integers(0, 20)),
        halo_after=draw(st.integers(0, 20)),
        minimum=draw(st.integers(1, 30)),
        step=step,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, AxisRule]:
    rule = draw(rules())
    size = rule.minimum + rule.step * draw(st.integers(0, 60))
    return size, rule.alignment * draw(st.integers(1, 8)), rule


@given(cases())
def test_every_pixel_belongs_to_exactly_one_core(case: tuple[int, int, AxisRule]) -> None:
    size, core, rule = case
    owned = [p for t in plan_axis(size, core, rule) for p in range(t.core_start, t.core_stop)]
    assert owned == list(range(size))


@given(cases())
def test_tiles_and_cores_start_on_the_alignment(case: tuple[int, int, AxisRule]) -> None:
    size, core, rule = case
    for tile in plan_axis(size, core, rule):
        assert tile.start % rule.alignment == 0
        assert tile.core_start % rule.alignment == 0


@given(cases())
def test_halos_are_real_pixels_except_beyond_the_image(case: tuple[int, int, AxisRule]) -> None:
    size, core, rule = case
    for tile in plan_axis(size, core, rule):
        seen = set(range(tile.start, tile.stop))
        needed = range(tile.core_start - rule.halo_before, tile.core_stop + rule.halo_after)
        assert seen <= set(range(size))
        assert {pixel for pixel in needed if 0 <= pixel < size} <= seen


@given(cases())
def test_every_tile_is_of_a_size_that_the_network_takes(case: tuple[int, int, AxisRule]) -> None:
    size, core, rule = case
    for tile in plan_axis(size, core, rule):
        length = tile.stop - tile.start
        assert length >= rule.minimum
        assert (length - rule.minimum) % rule.step == 0


@given(cases())
def test_inside_the_image_a_free_size_is_a_multiple_of_the_alignment(
    case: tuple[int, int, AxisRule],
) -> None:
    size, core, rule = case
    free = AxisRule(rule.alignment, rule.halo_before, rule.halo_after)
    *inside, last = plan_axis(size, core, free)
    assert all((tile.stop - tile.start) % rule.alignment == 0 for tile in inside)
    assert last.stop == size


@given(cases())
def test_no_tile_is_longer_than_its_core_its_halos_and_their_rounding(
    case: tuple[int, int, AxisRule],
) -> None:
    size, core, rule = case
    longest = max(tile.stop - tile.start for tile in plan_axis(size, core, rule))
    at_the_border = rule.minimum + rule.alignment - 1
    assert longest <= max(rule.length(rule.lead + core + rule.halo_after), at_the_border)


def test_the_example_of_the_module() -> None:
    assert plan_axis(20, 8, AxisRule(4, 3, 2)) == (AxisTile(0, 12, 0, 8), AxisTile(4, 20, 8, 20))


def test_a_core_off_the_alignment_is_refused() -> None:
    with pytest.raises(ValueError, match="no positive multiple of 4"):
        plan_axis(20, 6, AxisRule(4, 3, 2))


def test_an_image_below_the_minimum_is_refused() -> None:
    with pytest.raises(ValueError, match="below the minimum of 188"):
        plan_axis(100, 16, AxisRule(16, 0, 187, minimum=188, step=16))


def test_a_plane_is_the_product_of_its_axes_row_by_row() -> None:
    rule = AxisRule(4, 1, 1)
    tiles = plan((20, 9), (8, 4), (rule, rule))
    rows, columns = plan_axis(20, 8, rule), plan_axis(9, 4, rule)
    assert [(tile.rows, tile.columns) for tile in tiles] == [(r, c) for r in rows for c in columns]
    assert tiles[0].size == (12, 8)


def test_outputs_at_half_and_double_resolution_go_where_their_core_says() -> None:
    tile = AxisTile(start=8, stop=40, core_start=16, core_stop=32)
    assert cut(tile, Fraction(2), size=100, outputs=50) == Cut(start=8, stop=16, skip=4)
    assert cut(tile, Fraction(1, 2), size=100, outputs=200) == Cut(start=32, stop=64, skip=16)


@given(
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    pads=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    cores=st.integers(1, 5),
    extra=st.integers(0, 70),
)
def test_a_strided_sliding_sum_in_tiles_equals_the_whole(
    kernel: int, stride: int, pads: tuple[int, int], cores: int, extra: int
) -> None:
    """The output reads [stride * o - before, stride * o - before + kernel - 1]."""
    before, after = (min(pad, kernel - 1) for pad in pads)
    size = kernel + extra
    pixels = np.random.default_rng(extra).integers(0, 9, size)

    def network(row: NDArray[np.int64]) -> NDArray[np.int64]:
        padded = np.pad(row, (before, after))
        sums: NDArray[np.int64] = sliding_window_view(padded, kernel)[::stride].sum(1)
        return sums

    whole = network(pixels)
    rule = AxisRule(stride, before, max(0, kernel - before - stride), minimum=kernel)
    stitched = np.full_like(whole, -1)
    for tile in plan_axis(size, cores * stride, rule):
        place = cut(tile, Fraction(stride), size, len(whole))
        stitched[place.whole] = network(pixels[tile.start : tile.stop])[place.part]
    assert (stitched == whole).all()
