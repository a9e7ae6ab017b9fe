"""Which route a size takes, on a model whose cost is ten bytes a pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres_analyzer import Cost
from anyres_analyzer.tiling.plan import AxisRule
from anyres_proto.card import AxisContract, AxisTiling, Card, ImageInput, Output, SizeContract
from anyres_proto.card import Tiling as TilingRule
from anyres_server.model import Array, Model, RouteKind
from anyres_server.routing.cores import Axis, Cutter
from anyres_server.routing.router import Limits, Route, Router

HALO = 20
ALIGNMENT = 8
MANY = 10**9


class NoNetwork:
    batches = True

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        raise NotImplementedError


def model(*, tiles: bool = True, step: int = 1) -> Model:
    axis = AxisContract(verdict="free", minimum=step, step=step, reason="")
    rule = AxisTiling(alignment=ALIGNMENT, halo_before=HALO, halo_after=HALO)
    exact = TilingRule(height=rule, width=rule)
    return Model(
        "net",
        "1",
        Card(
            name="net",
            task="segmentation",
            input=ImageInput(),
            outputs=(Output(channels=2, dense=True, stride=(Fraction(1), Fraction(1))),),
            sizes=SizeContract(height=axis, width=axis),
            tiling=exact if tiles else TilingRule(breakers=("node 'gap' (GlobalAveragePool)",)),
        ),
        lambda h, w, batch: Cost(h * w, 10 * h * w * batch, "", {"y": (batch, 2, h, w)}),
        NoNetwork(),
    )


def route(size: tuple[int, int], model: Model, *, memory: int, whole: int, tile: int) -> Route:
    return Router(Limits(memory, whole, tile)).route(model, size)


def widths(route: Route) -> set[int]:
    """The widths of cores, the last ones left out: they take what remains."""
    inside = (t for t in route.tiles if t.columns.core_stop != max_stop(route))
    return {t.columns.core_stop - t.columns.core_start for t in inside}


def max_stop(route: Route) -> int:
    return max(tile.columns.core_stop for tile in route.tiles)


def test_what_fits_the_whole_image_budget_goes_in_one_piece() -> None:
    just = route((100, 100), model(), memory=MANY, whole=100_000, tile=10)
    assert (just.kind, len(just.tiles), just.activation_bytes) == (RouteKind.WHOLE, 1, 100_000)
    above = route((100, 101), model(), memory=MANY, whole=100_000, tile=10)
    assert above.kind is RouteKind.TILED


@pytest.mark.parametrize("size", [(1000, 3000), (999, 2001), (40, 9000), (2000, 300)])
def test_every_tile_fits_its_budget_and_the_budget_is_used(size: tuple[int, int]) -> None:
    budget = 2_000_000
    found = route(size, model(), memory=MANY, whole=budget, tile=budget)
    costs = [10 * tile.size[0] * tile.size[1] for tile in found.tiles]
    assert found.kind is RouteKind.TILED
    assert found.activation_bytes == max(costs) <= budget
    assert max(costs) > budget / 3
    assert found.macs == sum(costs) // 10


def test_an_image_whose_tiles_would_cost_much_goes_in_one_piece_where_it_fits() -> None:
    halo_is_dear = route((200, 200), model(), memory=MANY, whole=400_000, tile=50_000)
    assert halo_is_dear.kind is RouteKind.WHOLE
    halo_is_cheap = route((4000, 4000), model(), memory=MANY, whole=MANY, tile=8_000_000)
    assert halo_is_cheap.kind is RouteKind.TILED


def test_tiles_grow_beyond_their_budget_until_halos_are_cheap() -> None:
    found = route((5000, 5000), model(), memory=MANY, whole=9_000_000, tile=100_000)
    assert 100_000 < found.activation_bytes <= 6_400_000
    assert found.macs <= 8 / 7 * 5000**2
    tight = route((5000, 5000), model(), memory=MANY, whole=200_000, tile=100_000)
    assert 100_000 < tight.activation_bytes <= 200_000


def test_a_ribbon_is_cut_across_only() -> None:
    found = route((100, 20_000), model(), memory=MANY, whole=1_000_000, tile=1_000_000)
    assert {(tile.rows.start, tile.rows.stop) for tile in found.tiles} == {(0, 100)}


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(40, 200), st.integers(40, 200)),
    st.integers(0, 12),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(100, 20_000),
)
def test_no_cut_that_fits_computes_much_less(
    size: tuple[int, int], halo: int, alignment: int, budget: int
) -> None:
    rule = AxisRule(alignment, halo, halo)
    rows, columns = (Axis(side, rule) for side in size)
    cutter = Cutter(rows, columns, lambda tile: tile[0] * tile[1])
    sides = range(alignment, 208, alignment)
    fitting = [
        (height, width)
        for height, width in product(sides, sides)
        if rows.longest(height) * columns.longest(width) <= budget
    ]
    found = cutter.within(budget)
    assert (found is None) == (not fitting)
    if found:
        assert rows.longest(found[0]) * columns.longest(found[1]) <= budget
        assert cutter.computed(found) <= 1.2 * min(map(cutter.computed, fitting))


def test_cores_share_an_axis_evenly_so_that_no_sliver_is_left() -> None:
    found = route((2700, 2700), model(), memory=MANY, whole=8_000_000, tile=8_000_000)
    last = {t.columns.core_stop - t.columns.core_start for t in found.tiles} - widths(found)
    assert len(widths(found)) == 1
    assert min(last) > 0.9 * max(widths(found))


def test_what_cannot_be_tiled_goes_whole_as_long_as_it_fits_the_memory() -> None:
    found = route((100, 100), model(tiles=False), memory=100_000, whole=10, tile=10)
    assert (found.kind, found.budget_bytes) == (RouteKind.WHOLE, 100_000)


Make = Callable[[], Model]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: model(tiles=False), "node 'gap' (GlobalAveragePool)"),
        (model, "even one tile would need more"),
    ],
)
def test_what_fits_in_no_way_is_refused_with_the_largest_square_that_would(
    make: Make, why: str
) -> None:
    found = route((100, 101), make(), memory=9_000, whole=9_000, tile=9_000)
    assert found.kind is RouteKind.REFUSED
    assert ": 101x100 needs " in found.reason, "a width by a height"
    assert "the largest square that fits is 30x30" in found.reason
    assert why in found.reason


def test_the_largest_square_is_one_that_the_network_takes() -> None:
    found = route((96, 96), model(tiles=False, step=16), memory=9_000, whole=1, tile=1)
    assert "16x16" in found.reason


def test_a_route_is_found_once() -> None:
    asked: list[Any] = []

    def cost(height: int, width: int, batch: int) -> Cost:
        asked.append((height, width))
        return Cost(1, 1, "", {"y": (batch, 2, height, width)})

    plain = model()
    counted = Model(plain.name, plain.version, plain.card, cost, plain.network)
    router = Router(Limits(10, 10, 10))
    first = router.route(counted, (5, 5))
    before = len(asked)
    assert router.route(counted, (5, 5)) is first
    assert len(asked) == before
