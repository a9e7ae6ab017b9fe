"""Outputs between pixels: against numpy's interpolation along each axis, and torch's."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anyres_exporter.evaluate.lattice import Lattice, bilinear, nearest

strides = st.sampled_from([Fraction(n, d) for n, d in ((1, 1), (2, 1), (4, 1), (32, 1), (1, 2))])
offsets = st.builds(Fraction, st.integers(-6, 40), st.sampled_from([1, 2, 3]))


@st.composite
def lattices(draw: Any) -> Lattice:
    stride, offset = draw(strides), draw(offsets)
    cells = draw(st.integers(1, 12))
    return Lattice.of(stride, offset, cells, draw(st.integers(1, 200)))


@given(lattices())
def test_a_pixel_is_answered_where_an_output_is_less_than_a_stride_away(lattice: Lattice) -> None:
    centres = [lattice.stride * i + lattice.offset for i in range(lattice.cells)]
    near = [
        y
        for y in range(lattice.pixels)
        if min(abs(y - centre) for centre in centres) < lattice.stride
    ]
    assert list(lattice.answered) == near


@given(lattices(), st.lists(st.integers(0, 12), max_size=3))
def test_the_parts_of_an_axis_answer_each_pixel_once(lattice: Lattice, cuts: list[int]) -> None:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < lattice.cells}), lattice.cells]
    pixels = [y for start, stop in pairwise(edges) for y in lattice.pixels_of(start, stop)]
    assert pixels == list(lattice.answered)


@given(lattices(), lattices(), st.integers(0, 2**32 - 1))
def test_values_between_outputs_are_interpolated_linearly_on_both_axes(
    rows: Lattice, columns: Lattice, seed: int
) -> None:
    assume(rows.answered and columns.answered)
    values = np.random.default_rng(seed).standard_normal((2, rows.cells, columns.cells))
    along = values.astype(np.float32)
    expected = along.astype(float)
    for axis, lattice in ((1, rows), (2, columns)):
        centres = [float(lattice.stride * i + lattice.offset) for i in range(lattice.cells)]
        lines = np.moveaxis(expected, axis, -1)
        between = [
            np.interp(lattice.answered, centres, line) for line in lines.reshape(-1, len(centres))
        ]
        expected = np.moveaxis(np.reshape(between, (*lines.shape[:-1], -1)), -1, axis)
    found = bilinear(along, (0, 0), (rows, columns), (rows.answered, columns.answered))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(lattices(), lattices(), st.data())
def test_a_part_needs_only_its_own_outputs_and_the_next(
    rows: Lattice, columns: Lattice, data: Any
) -> None:
    shape = 2, rows.cells, columns.cells
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    whole = bilinear(values, (0, 0), (rows, columns), (rows.answered, columns.answered))
    start = data.draw(st.integers(0, rows.cells - 1))
    stop = data.draw(st.integers(start + 1, rows.cells))
    part = rows.pixels_of(start, stop)
    assume(part and columns.answered)
    found = bilinear(
        values[:, start : stop + 1], (start, 0), (rows, columns), (part, columns.answered)
    )
    first = part.start - rows.answered.start
    np.testing.assert_array_equal(found, whole[:, first : first + len(part)])


def test_a_map_of_the_picture_s_size_answers_pixel_by_pixel() -> None:
    lattice = Lattice.of(Fraction(1), Fraction(1, 2), 7, 7)
    assert lattice.on_pixels
    assert list(lattice.answered) == list(range(7))


def test_the_border_of_an_unpadded_network_gets_no_answer() -> None:
    lattice = Lattice.of(Fraction(1), Fraction(92), 388, 572)
    assert (lattice.answered.start, lattice.answered.stop) == (92, 480)


def test_a_class_is_that_of_the_nearer_output() -> None:
    lattice = Lattice.of(Fraction(4), Fraction(1), 3, 12)
    classes = np.array([[[7, 8, 9]]])
    found = nearest(
        classes,
        (0, 0),
        (Lattice.of(Fraction(1), Fraction(0), 1, 1), lattice),
        (range(1), lattice.answered),
    )
    assert found[0, 0].tolist() == [7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9, 9]


@pytest.mark.torch
def test_half_pixel_centres_are_what_torch_s_interpolate_takes() -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(2).standard_normal((3, 5, 6)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], scale_factor=8, mode="bilinear", align_corners=False
    )[0].numpy()
    rows, columns = (Lattice.of(Fraction(8), Fraction(7, 2), n, 8 * n) for n in (5, 6))
    found = bilinear(values, (0, 0), (rows, columns), (range(40), range(48)))
    np.testing.assert_allclose(found, expected, atol=1e-6)
