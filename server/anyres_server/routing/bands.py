"""The tiles of a picture that comes from top to bottom, row of tiles by row of tiles.

A band is a row of tiles and the rows of pixels that they need. Two bands are held at a time: one is
in the network while the next one fills, its first rows being the last of the one before.

    rows    0      tops of cores           ...
            [==== band 0 ====----]
                        [----==== band 1 ====----]
                        ^^^^^^^^^^ held by both
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from anyres_analyzer.tiling.plan import AxisRule, AxisTile, Tile, plan, plan_axis
from anyres_server.model import Model, RouteKind, Size
from anyres_server.routing.router import Route
from anyres_server.routing.rules import tile_rules


@dataclass(frozen=True)
class Band:
    """Rows [start, stop) of a picture, and the tiles that are cut from them."""

    start: int
    stop: int
    tiles: tuple[Tile, ...]


def bands(tiles: Sequence[Tile]) -> tuple[Band, ...]:
    """The bands of tiles that come row by row.

    A band begins where it or a later one does, and ends where it or an earlier one does, so that
    no row is needed twice that is not in the band before.
    """
    rows = [(axis, tuple(found)) for axis, found in groupby(tiles, key=lambda tile: tile.rows)]
    starts = [*accumulate((axis.start for axis, _ in reversed(rows)), min)][::-1]
    stops = accumulate((axis.stop for axis, _ in rows), max)
    return tuple(
        Band(start, stop, found)
        for start, stop, (_, found) in zip(starts, stops, rows, strict=True)
    )


def held_rows(found: Sequence[Band]) -> int:
    """How many rows two bands have together, at most."""
    heights = [band.stop - band.start for band in found]
    return max([heights[0], *(one + other for one, other in pairwise(heights))])


def lowered(
    model: Model, route: Route, size: Size, most_rows: int, outputs: Sequence[str] = ()
) -> Route:
    """The same route with tiles so low that two bands have `most_rows`, as far as that goes."""
    rules = tile_rules(model, outputs)
    if route.kind is not RouteKind.TILED or held_rows(bands(route.tiles)) <= most_rows:
        return route
    assert rules is not None, "a card without a rule has no tiles"
    height = _core_height(rules[0], size[0], most_rows // 2)
    tiles = plan(size, (height, _core_width(route.tiles, rules[1])), rules)
    costs = [model.cost(tile.size) for tile in tiles]
    return replace(
        route,
        tiles=tiles,
        macs=sum(cost.macs for cost in costs),
        activation_bytes=max(cost.activation_bytes for cost in costs),
    )


def _core_height(rule: AxisRule, side: int, most_rows: int) -> int:
    """The highest core whose tile has at most so many rows; one alignment where none has."""
    low, high = 1, max(1, most_rows // rule.alignment) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _highest(plan_axis(side, middle * rule.alignment, rule)) <= most_rows:
            low = middle
        else:
            high = middle
    return low * rule.alignment


def _highest(tiles: Sequence[AxisTile]) -> int:
    return max(tile.stop - tile.start for tile in tiles)


def _core_width(tiles: Sequence[Tile], rule: AxisRule) -> int:
    first = tiles[0].columns
    width = first.core_stop - first.core_start
    return -(-width // rule.alignment) * rule.alignment
