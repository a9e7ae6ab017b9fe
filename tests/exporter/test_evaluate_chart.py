"""The confusion picture: what is right is blue, what is wrong is orange, and everything fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_exporter.evaluate.chart import NOTHING, PAPER, chart
from anyres_exporter.evaluate.layout import Layout
from anyres_exporter.evaluate.metrics import scores
from anyres_exporter.evaluate.report import (
    Classification,
    Coverage,
    Regression,
    Report,
    Segmentation,
)


def report(counts: Any, names: tuple[str, ...] = ()) -> Report:
    counts = np.array(counts, np.int64)
    named = names or tuple(f"class {i}" for i in range(len(counts)))
    covered = Coverage(pictures=3, compared=int(counts.sum()))
    return Report("net", "segmentation", named, covered, Segmentation(counts, scores(counts)))


def corner(picture: Image.Image, layout: Layout, row: int, column: int) -> tuple[int, ...]:
    """A cell's colour, beside its number."""
    inside = max(1, layout.cell // 8)
    found = picture.getpixel(
        (layout.left + column * layout.cell + inside, layout.top + row * layout.cell + inside)
    )
    assert isinstance(found, tuple)
    return found


def test_hits_are_blue_mistakes_are_orange_and_what_never_happened_is_paper() -> None:
    made = report([[9, 1, 0], [5, 5, 0], [0, 0, 3]])
    picture, layout = chart(made), Layout.of(made.names)
    for hit in range(3):
        red, _, blue = corner(picture, layout, hit, hit)
        assert blue > red
    for mistake in ((0, 1), (1, 0)):
        red, _, blue = corner(picture, layout, *mistake)
        assert red > blue
    assert corner(picture, layout, 0, 2) == PAPER


def test_a_cell_is_the_share_of_its_row_however_many_pixels_the_row_has() -> None:
    few, many = report([[8, 2], [0, 1]]), report([[8000, 2000], [0, 1]])
    layout = Layout.of(few.names)
    assert corner(chart(few), layout, 0, 1) == corner(chart(many), layout, 0, 1)


def test_a_larger_share_is_darker() -> None:
    made = report([[60, 5, 35], [0, 1, 0], [0, 0, 1]])
    picture, layout = chart(made), Layout.of(made.names)
    assert sum(corner(picture, layout, 0, 2)) < sum(corner(picture, layout, 0, 1)) < sum(PAPER)


def test_a_class_that_no_label_names_has_an_empty_row() -> None:
    made = report([[9, 1], [0, 0]])
    picture, layout = chart(made), Layout.of(made.names)
    assert {corner(picture, layout, 1, column) for column in (0, 1)} == {NOTHING}


def border(picture: Image.Image) -> set[Any]:
    pixels = np.asarray(picture)
    edges = np.concatenate([pixels[:8], pixels[-8:]], axis=0).reshape(-1, 3)
    sides = np.concatenate([pixels[:, :8], pixels[:, -8:]], axis=1).reshape(-1, 3)
    return set(map(tuple, np.unique(np.concatenate([edges, sides]), axis=0).tolist()))


@pytest.mark.parametrize("classes", [1, 2, 6, 21, 40, 150, 1000])
def test_any_number_of_classes_fits_the_paper(classes: int) -> None:
    counts = np.random.default_rng(0).integers(0, 50, (classes, classes)) + np.eye(classes) * 900
    names = tuple("a very long name of a class indeed"[: 3 + i % 31] for i in range(classes))
    picture = chart(report(counts, names))
    assert border(picture) == {PAPER}
    assert max(picture.size) < 4200


@pytest.mark.parametrize("classes", [2, 6, 21, 40, 150, 1000])
def test_names_that_are_written_do_not_touch(classes: int) -> None:
    layout = Layout.of(tuple(f"class {i}" for i in range(classes)))
    assert layout.every * layout.cell >= layout.letters
    if classes <= 150:
        assert layout.every == 1


def test_of_many_classes_those_that_never_occur_are_left_out() -> None:
    counts = np.zeros((1000, 1000), np.int64)
    counts[7, 7], counts[8, 900] = 5, 1
    named = report(counts)
    result = Classification(counts, scores(counts), 5 / 6, 1.0)
    few = chart(Report("net", "classification", named.names, Coverage(6), result))
    assert max(few.size) < 1300
    layout = Layout.of(("class 7", "class 8", "class 900"))
    assert corner(few, layout, 2, 2) == NOTHING


def test_numbers_have_no_confusion() -> None:
    with pytest.raises(TypeError, match="of classes"):
        chart(Report("net", "regression", (), Coverage(), Regression(())))
