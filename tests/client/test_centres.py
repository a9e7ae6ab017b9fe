"""Objects by centres and offsets, against a search through every cell and every centre."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres_client.answers import Timing
from anyres_client.centres import Heads, Peaks, centres, grouped
from anyres_client.errors import InvalidRequest
from anyres_client.prediction import Prediction
from anyres_proto.card import AxisContract, Card, ClassName, Output, SizeContract

NAMES = ("road", "car", "person", "sky")
THINGS = (1, 2)


def peaks_of(heat: Any, peaks: Peaks) -> list[tuple[int, int, int]]:
    reach = peaks.window // 2
    found = []
    for c, y, x in np.ndindex(heat.shape):
        around = heat[c, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        if heat[c, y, x] > peaks.threshold and heat[c, y, x] == around.max():
            found.append((c, y, x))
    return sorted(found, key=lambda at: -heat[at])[: peaks.most]


def objects_of(heads: Heads, found: list[tuple[int, int, int]]) -> dict[Any, set[Any]]:
    """The cells of each centre."""
    cells: dict[Any, set[Any]] = {}
    for y, x in np.ndindex(heads.classes.shape):
        if heads.classes[y, x] not in THINGS:
            continue
        own = THINGS.index(heads.classes[y, x]) if len(heads.centres) > 1 else 0
        mine = [at for at in found if at[0] == own]
        down, right = heads.offsets[:, y, x]
        if mine:
            away = [(y + down - at[1]) ** 2 + (x + right - at[2]) ** 2 for at in mine]
            cells.setdefault(mine[int(np.argmin(away))], set()).add((y, x))
    return cells


@st.composite
def some_heads(draw: Any) -> Heads:
    """Few different values, so that there are plateaus and ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    maps = draw(st.sampled_from([1, len(THINGS)]))
    return Heads(
        rng.integers(0, len(NAMES), (height, width)),
        rng.choice(np.array([0, 0.1, 0.25, 0.5, 0.75], np.float32), (maps, height, width)),
        rng.integers(-12, 13, (2, height, width)).astype(np.float32) / 4,
    )


@settings(deadline=None, max_examples=60)
@given(some_heads(), st.sampled_from([1, 3, 5]), st.sampled_from([1, 4, 200]))
def test_every_cell_belongs_to_the_centre_nearest_to_where_it_points(
    heads: Heads, window: int, most: int
) -> None:
    peaks = Peaks(window=window, most=most)
    found = peaks_of(heads.centres, peaks)
    assert [tuple(at) for at in centres(heads.centres, peaks).tolist()] == found
    expected = objects_of(heads, found)
    objects = grouped(heads, NAMES, things=THINGS, peaks=peaks)
    got = {frozenset(map(tuple, np.argwhere(each.mask).tolist())): each for each in objects}
    assert set(got) == {frozenset(cells) for cells in expected.values()}
    assert [each.area for each in objects] == sorted((each.area for each in objects), reverse=True)
    for at, cells in expected.items():
        one = got[frozenset(cells)]
        votes = np.bincount([heads.classes[cell] for cell in cells])
        assert one.class_index == votes.argmax()
        assert one.score == pytest.approx(float(heads.centres[at]))
        rows, columns = zip(*cells, strict=True)
        assert one.box == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def two_cars() -> Heads:
    """They touch: one region, two centres."""
    classes = np.ones((3, 10), int)
    heat = np.zeros((1, 3, 10), np.float32)
    heat[0, 1, 2], heat[0, 1, 7] = 0.9, 0.8
    rows, columns = np.indices(classes.shape)
    offsets = np.stack([1 - rows, np.where(columns < 4, 2, 7) - columns]).astype(np.float32)
    return Heads(classes, heat, offsets)


def test_two_objects_that_touch_are_two() -> None:
    right, left = grouped(two_cars(), NAMES, things=THINGS)
    assert (left.class_name, left.area, left.box) == ("car", 12, (0, 0, 4, 3))
    assert (right.class_name, right.area, right.box) == ("car", 18, (4, 0, 10, 3))
    assert [left.score, right.score] == pytest.approx([0.9, 0.8])


def test_a_score_is_the_centre_s_heat_times_what_the_cells_are_sure_of() -> None:
    confidence = np.full((3, 10), 0.5, np.float32)
    right, left = grouped(two_cars(), NAMES, things=THINGS, confidence=confidence)
    assert [left.score, right.score] == pytest.approx([0.45, 0.4])


def test_scores_of_classes_are_as_good_as_their_map() -> None:
    heads = two_cars()
    logits = np.moveaxis(np.eye(len(NAMES))[heads.classes], -1, 0)
    got = grouped(Heads(logits, heads.centres, heads.offsets), NAMES, things=THINGS)
    assert [each.area for each in got] == [18, 12]


def test_what_is_no_thing_belongs_to_no_object() -> None:
    assert grouped(two_cars(), NAMES, things=[2, 3]) == ()


@pytest.mark.parametrize(
    ("heads", "peaks", "said"),
    [
        (Heads(np.ones((3, 4), int), np.ones((3, 3, 4)), np.ones((2, 3, 4))), Peaks(), "centres"),
        (Heads(np.ones((3, 4), int), np.ones((1, 4, 4)), np.ones((2, 3, 4))), Peaks(), "centres"),
        (Heads(np.ones((3, 4), int), np.ones((1, 3, 4)), np.ones((3, 4))), Peaks(), "offsets"),
        (Heads(np.ones((3, 4), int), np.ones((1, 3, 4)), np.ones((2, 3, 4))), Peaks(window=4), "4"),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(heads: Heads, peaks: Peaks, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        grouped(heads, NAMES, things=THINGS, peaks=peaks)


def seen(things: tuple[int, ...] = THINGS) -> Prediction:
    """The two cars by a network that answers every second pixel of a picture."""
    heads, step = two_cars(), (Fraction(2), Fraction(2))
    free = AxisContract(verdict="free", minimum=1, reason="nothing fixes it")
    card = Card(
        name="street",
        task="segmentation",
        outputs=(
            Output(channels=4, dense=True, stride=step),
            Output(name="heat", meaning="centres", channels=1, dense=True, stride=step),
            Output(name="away", meaning="offsets", channels=2, dense=True, stride=step),
        ),
        classes=tuple(ClassName(name=n, thing=i in things) for i, n in enumerate(NAMES)),
        sizes=SizeContract(height=free, width=free),
    )
    classes = heads.classes.astype(np.uint8)
    classes[:, 8:] = NAMES.index("sky")
    return Prediction(
        model="street",
        version="1",
        image_size=(6, 20),
        grid_size=(3, 10),
        route="whole",
        pieces=1,
        padded=(0, 0),
        timing=Timing(0, 0, 0, 0),
        card=card,
        outputs={"classes": classes, "heat": heads.centres, "away": heads.offsets},
    )


def test_objects_of_a_coarse_grid_are_in_pixels_of_the_image() -> None:
    expected = np.zeros((6, 20), int)
    cells = np.minimum(np.rint(np.arange(20) / 2), 9)  # a pixel's nearest cell, halves to the even
    expected[:, cells < 4], expected[:, (cells >= 4) & (cells < 8)] = 1, 2
    found = seen().instances()
    assert {one.class_name for one in found} == {"car"}
    masks = {one.mask.tobytes(): one for one in found}
    assert set(masks) == {(expected == n).tobytes() for n in (1, 2)}
    assert [one.area for one in found] == sorted((one.area for one in found), reverse=True)
    assert sorted(one.score or 0 for one in found) == pytest.approx([0.8, 0.9])


def test_what_is_no_thing_is_a_connected_region_where_it_is_asked_for() -> None:
    sky, *cars = seen().instances(["sky", "car"])[::-1]
    assert (sky.class_name, [one.class_name for one in cars]) == ("sky", ["car", "car"])
    assert [one.class_name for one in seen().instances(["sky"])] == ["sky"]


def test_where_no_class_is_said_to_be_a_thing_they_are_named_or_refused() -> None:
    assert len(seen(things=()).instances(["car"])) == 2
    with pytest.raises(InvalidRequest, match="does not say which classes are things: name them"):
        seen(things=()).instances()
