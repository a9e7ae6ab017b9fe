"""Predicted seconds against the line that they were made from, and the choice between two ways."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anyres_server.model import Model
from anyres_server.routing.pace import FORGOTTEN_AFTER, Pace
from anyres_server.schedule.benefit import AGAIN, Benefit
from anyres_server.schedule.policy import goes_wide
from anyres_server.schedule.slots import ABREAST, Slots

SECONDS = st.floats(1e-4, 10)


class Costly:
    """Stands for a model whose images cost `per_pixel` multiply-adds a pixel."""

    def __init__(self, per_pixel: int = 1) -> None:
        self._per_pixel = per_pixel

    def cost(self, size: tuple[int, int], *, batch: int = 1) -> Any:
        return SimpleNamespace(macs=self._per_pixel * size[0] * size[1] * batch)


def model(per_pixel: int = 1) -> Model:
    return Costly(per_pixel)  # type: ignore[return-value]


def test_the_worked_example() -> None:
    pace, net = Pace(), model()
    pace.note(net, (1, 1), 1, 2.0, True)
    pace.note(net, (1, 3), 1, 4.0, True)
    assert pace.seconds(net, (1, 5)) == pytest.approx(6.0)


@given(st.floats(0, 1), st.floats(1e-6, 1), st.lists(st.integers(1, 3000), min_size=2))
def test_runs_on_a_line_predict_the_line(start: float, each: float, sides: list[int]) -> None:
    assume(max(sides) > 2 * min(sides))
    pace, net = Pace(), model()
    for side in sides:
        pace.note(net, (side, side), 1, start + each * side * side, True)
    assert pace.seconds(net, (500, 700)) == pytest.approx(start + each * 500 * 700, rel=1e-3)


@given(st.lists(st.tuples(st.integers(1, 2000), SECONDS), min_size=1), st.integers(1, 5000))
def test_a_prediction_is_never_negative_and_grows_with_the_image(
    runs: list[tuple[int, float]], side: int
) -> None:
    pace, net = Pace(), model()
    for run_side, seconds in runs:
        pace.note(net, (run_side, run_side), 1, seconds, True)
    small, large = (pace.seconds(net, (s, s)) for s in (side, 2 * side))
    assert small is not None
    assert large is not None
    assert 0 < small <= large * (1 + 1e-9)


def test_nothing_is_predicted_before_the_first_run_of_its_kind() -> None:
    pace, one, other = Pace(), model(), model()
    pace.note(one, (8, 8), 1, 1.0, True)
    assert pace.seconds(other, (8, 8)) is None
    assert pace.seconds(one, (8, 8), wide=False) is None


def test_a_machine_that_slows_down_is_noticed() -> None:
    pace, net = Pace(), model()
    for seconds in [1.0] * 20 + [2.0] * 200:
        pace.note(net, (8, 8), 1, seconds, True)
    assert pace.seconds(net, (8, 8)) == pytest.approx(2.0, rel=0.05)


def test_a_network_that_multiplies_nothing_is_predicted_by_its_pixels() -> None:
    pace, net = Pace(), model(per_pixel=0)
    pace.note(net, (10, 10), 1, 1.0, True)
    assert pace.seconds(net, (10, 20)) == pytest.approx(2.0)


def done_after(order: Sequence[bool], free_after: list[float], wide_s: float, n: float) -> float:
    """When wide (True) and narrow runs that start in this order have all ended."""
    slots = list(free_after)
    for wide in order:
        if wide:
            slots = [max(slots) + wide_s] * len(slots)
        else:
            slots.sort()
            slots[0] += n
    return max(slots)


@given(
    st.integers(1, 7), st.lists(st.just(0.0) | SECONDS, min_size=2, max_size=4), SECONDS, SECONDS
)
def test_the_next_goes_wide_where_no_order_that_begins_narrow_is_done_before_all_wide_ones(
    waiting: int, free_after: list[float], wide_s: float, narrow_s: float
) -> None:
    assume(waiting > 1 or max(free_after) > 0)
    all_wide = done_after([True] * waiting, free_after, wide_s, narrow_s)
    rest = product((True, False), repeat=waiting - 1)
    narrow = min(done_after([False, *each], free_after, wide_s, narrow_s) for each in rest)
    assume(abs(all_wide - narrow) > 1e-9)
    assert goes_wide(waiting, free_after, wide_s, narrow_s) == (all_wide < narrow)


def test_three_pieces_go_two_abreast_and_then_one_with_all_processors() -> None:
    assert not goes_wide(3, [0.0, 0.0], 6.0, 10.0)
    assert goes_wide(1, [0.0, 0.0], 6.0, 10.0)


@pytest.mark.parametrize(("waiting", "wide"), [(1, True), (2, True), (4, False), (9, False)])
def test_what_nobody_has_timed_is_tried_once_it_fills_the_processors(
    waiting: int, wide: bool
) -> None:
    assert goes_wide(waiting, [0.0] * 4, 1.0, None) is wide


def test_nobody_waits_for_processors_where_nothing_is_known() -> None:
    assert not goes_wide(1, [0.0, 1.0], 1.0, None)


def test_narrow_runs_are_tried_anew_where_only_wide_ones_were_made_for_long() -> None:
    pace, net = Pace(), model()
    pace.note(net, (8, 8), 1, 1.0, False)
    for _ in range(FORGOTTEN_AFTER - 1):
        pace.note(net, (8, 8), 1, 1.0, True)
    assert pace.seconds(net, (8, 8), wide=False) == pytest.approx(1.0)
    pace.note(net, (8, 8), 1, 1.0, True)
    assert pace.seconds(net, (8, 8), wide=False) is None
    assert pace.seconds(net, (8, 8)) == pytest.approx(1.0)


def test_a_wide_run_for_which_others_wait_is_predicted_from_such_runs() -> None:
    pace, net = Pace(), model()
    pace.note(net, (8, 8), 1, 1.0, True)
    assert pace.seconds(net, (8, 8), contended=True) == pytest.approx(1.0), "for want of any"
    for _ in range(9):
        pace.note(net, (8, 8), 1, 2.0, True, contended=True)
        pace.note(net, (8, 8), 1, 1.0, True)
    assert pace.seconds(net, (8, 8), contended=True) == pytest.approx(2.0)
    for _ in range(FORGOTTEN_AFTER):
        pace.note(net, (8, 8), 1, 3.0, False)
    assert pace.seconds(net, (8, 8), contended=True) == pace.seconds(net, (8, 8)), "tried anew"


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=6))
def test_a_run_is_abreast_where_others_ran_nearly_all_the_time(
    others: list[tuple[float, float]],
) -> None:
    """One of two processors has a run from 0 to 10, the other one short runs with pauses."""
    slots = Slots(2)
    long = slots.take(wide=False, now=0.0, predicted_s=None)
    now = busy = 0.0
    for pause, length in others:
        if now + pause + length > 10:
            break
        lease = slots.take(wide=False, now=now + pause, predicted_s=None)
        now += pause + length
        slots.give_back(lease, now)
        busy += length
    share = (10 + busy) / 20
    assume(abs(share - ABREAST) > 1e-9)
    assert slots.abreast(long, 10.0) == (share > ABREAST)


def test_shortly_before_a_run_is_over_one_may_stand_by() -> None:
    slots = Slots(2)
    wide = slots.take(wide=True, now=0.0, predicted_s=0.05)
    assert not slots.soon_free(1, 0.04)
    assert slots.next_look(0.04) == pytest.approx(0.045), "a tenth of what it takes"
    assert slots.soon_free(2, 0.045)
    after = slots.take(wide=False, now=0.045, predicted_s=0.05)
    assert after.began == pytest.approx(0.05)
    assert not slots.soon_free(1, 0.049), "one does already"
    slots.give_back(wide, 0.051)
    assert slots.free == 1


def test_nobody_stands_by_where_nobody_knows_how_long_a_run_takes() -> None:
    slots = Slots(2)
    slots.take(wide=True, now=0.0, predicted_s=None)
    assert not slots.soon_free(1, 99.0)
    assert slots.next_look(0.0) is None


def test_a_run_with_all_processors_stands_by_for_the_last_of_the_others_only() -> None:
    slots = Slots(2)
    slots.take(wide=False, now=0.0, predicted_s=0.05)
    slots.take(wide=False, now=0.0, predicted_s=0.09)
    assert slots.soon_free(1, 0.046)
    assert not slots.soon_free(2, 0.046)
    assert slots.next_look(0.046) == pytest.approx(0.081)
    assert slots.soon_free(2, 0.082)


def test_company_pays_where_it_was_measured_to() -> None:
    benefit, net = Benefit(), model()
    assert benefit.pays(net, (8, 8)) is None
    benefit.note(net, (8, 8), 1, 1.0, 1)
    assert benefit.pays(net, (8, 8)) is None
    benefit.note(net, (8, 8), 4, 2.0, 1)
    assert benefit.pays(net, (8, 8)) is True
    benefit.note(net, (16, 16), 1, 1.0, 1)
    benefit.note(net, (16, 16), 4, 4.0, 1)
    assert benefit.pays(net, (16, 16)) is False


def test_company_is_held_against_pieces_side_by_side_too() -> None:
    benefit, net = Benefit(), model()
    benefit.note(net, (8, 8), 1, 1.0, 1)
    benefit.note(net, (8, 8), 4, 2.0, 1)
    benefit.note(net, (8, 8), 1, 1.0, 4)  # four at once, a second each: four a second
    assert benefit.pays(net, (8, 8)) is False


def test_what_was_seen_in_company_only_runs_alone_next() -> None:
    benefit, net = Benefit(), model()
    benefit.note(net, (8, 8), 4, 2.0, 1)
    assert benefit.pays(net, (8, 8)) is False
    benefit.note(net, (8, 8), 1, 1.0, 1)
    assert benefit.pays(net, (8, 8)) is True


def test_a_run_that_was_held_up_is_forgotten_once_a_faster_one_was_seen() -> None:
    benefit, net = Benefit(), model()
    benefit.note(net, (8, 8), 1, 9.0, 1)  # its memory was not there yet
    benefit.note(net, (8, 8), 4, 4.0, 1)
    assert benefit.pays(net, (8, 8)) is True
    benefit.note(net, (8, 8), 1, 1.0, 1)
    assert benefit.pays(net, (8, 8)) is False


def test_what_did_not_pay_is_tried_again_now_and_then() -> None:
    benefit, net = Benefit(), model()
    benefit.note(net, (8, 8), 4, 8.0, 1)
    tries = 0
    for _ in range(2 * AGAIN):
        benefit.note(net, (8, 8), 1, 1.0, 1)
        tries += benefit.pays(net, (8, 8)) is None
    assert tries == 2
