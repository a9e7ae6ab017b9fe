"""The way an image takes through the network: whole, in exact tiles, or not at all.

A size whose predicted activations are no more than a tile's goes in one piece. A larger one goes in
tiles (drawn in `anyres_analyzer.tiling.plan`) if they are exact for every output that is asked
(`rules`): they need less memory and are often faster, because their activations stay near the
processor. Only where halos are dear (`cores`) it still goes in one piece, as long as that is below
the limit of a piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

from anyres_analyzer.tiling.plan import AxisTile, Tile, plan
from anyres_proto.card import SizeContract
from anyres_server.machine import mib
from anyres_server.model import Model, RouteKind, Size
from anyres_server.routing.cores import Axis, Cutter
from anyres_server.routing.rules import beyond, tile_rules, tiling

REMEMBERED = 1024  # sizes of a model

_Way: TypeAlias = tuple[Size, tuple[str, ...]]  # and the outputs that are asked


@dataclass(frozen=True)
class Limits:
    """Budgets for predicted activations, in bytes."""

    memory: int  # of all pieces that run at once
    piece: int  # of one piece; only what cannot be tiled may take all
    tile: int  # of one tile, where its halos are not dear then


@dataclass(frozen=True)
class Route:
    """How one size would go, and what each piece costs at most."""

    kind: RouteKind
    tiles: tuple[Tile, ...]
    macs: int
    activation_bytes: int  # of the largest piece
    budget_bytes: int  # what that is held against
    reason: str = ""


class Router:
    """Finds the route of a size; remembers what it found."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # Weakly: a model that was replaced is freed with its last request.
        self._routes: WeakKeyDictionary[Model, dict[_Way, Route]] = WeakKeyDictionary()

    def known(self, model: Model, size: Size, outputs: Sequence[str] = ()) -> Route | None:
        """The route of a size that was asked before; finding another takes time."""
        return self._routes.get(model, {}).get((size, beyond(model, outputs)))

    def route(self, model: Model, size: Size, outputs: Sequence[str] = ()) -> Route:
        """How an image of this size goes through a model.

        Args:
            model: it.
            size: of the image.
            outputs: the names of those that are asked; the served one where empty.
        """
        known, way = self._routes.setdefault(model, {}), (size, beyond(model, outputs))
        route = known.get(way)
        if route is None:
            if len(known) >= REMEMBERED:
                known.clear()
            route = known[way] = self._route(model, *way)
        return route

    def _route(self, model: Model, size: Size, outputs: Sequence[str]) -> Route:
        cost = model.cost(size)
        if cost.activation_bytes <= self._limits.tile:
            return self._whole(model, size, self._limits.piece)
        tiles, cheap = self._tiles(model, size, outputs)
        several = cheap and len(tiles) > 1
        if not several and cost.activation_bytes <= self._limits.piece:
            return self._whole(model, size, self._limits.piece)
        if tiles:
            return self._tiled(model, tiles)
        if cost.activation_bytes <= self._limits.memory:
            return self._whole(model, size, self._limits.memory)
        return Route(
            RouteKind.REFUSED,
            (),
            cost.macs,
            cost.activation_bytes,
            self._limits.memory,
            _why_refused(model, size, outputs, self._limits.memory),
        )

    def _whole(self, model: Model, size: Size, budget: int) -> Route:
        cost = model.cost(size)
        rows, columns = (AxisTile(0, side, 0, side) for side in size)
        return Route(
            RouteKind.WHOLE, (Tile(rows, columns),), cost.macs, cost.activation_bytes, budget
        )

    def _tiled(self, model: Model, tiles: tuple[Tile, ...]) -> Route:
        costs = [model.cost(tile.size) for tile in tiles]
        return Route(
            RouteKind.TILED,
            tiles,
            sum(cost.macs for cost in costs),
            max(cost.activation_bytes for cost in costs),
            self._limits.piece,
        )

    def _tiles(
        self, model: Model, size: Size, outputs: Sequence[str]
    ) -> tuple[tuple[Tile, ...], bool]:
        """The tiles of an image, and whether their halos are cheap; none if they cannot be."""
        rules = tile_rules(model, outputs)
        if rules is None:
            return (), False
        rows, columns = (Axis(side, rule) for side, rule in zip(size, rules, strict=True))
        cutter = Cutter(rows, columns, lambda tile: model.cost(tile).activation_bytes)
        core = cutter.best(self._limits.tile, self._limits.piece)
        return (plan(size, core, rules), cutter.cheap(core)) if core else ((), False)


def _why_refused(model: Model, size: Size, outputs: Sequence[str], budget: int) -> str:
    need = model.cost(size).activation_bytes
    words = [
        f"{size[1]}x{size[0]} needs {mib(need)} of activation memory, the server has {mib(budget)}"
    ]
    square = largest_square(
        model.card.sizes,
        min(size),
        budget,
        lambda side: model.cost((side, side)).activation_bytes,
    )
    if square:
        words.append(f"the largest square that fits is {square}x{square}")
    breakers = tiling(model, outputs).breakers
    if breakers:
        words.append(f"tiles would not be exact: {breakers[0]}")
    elif tile_rules(model, outputs):
        words.append("even one tile would need more")
    else:
        words.append("the model's card does not say how to tile it")
    return f"model {model.name!r}: {'; '.join(words)}"


def largest_square(
    sizes: SizeContract, below: int, budget: int, bytes_of: Callable[[int], int]
) -> int | None:
    """The side of the largest square that a model takes and memory holds; None where none does.

    Args:
        sizes: that the model takes.
        below: the longest side that is looked at.
        budget: in bytes.
        bytes_of: what a square of this side takes; more, the longer it is.
    """
    sides = [n for n in range(1, below + 1) if sizes.height.admits(n) and sizes.width.admits(n)]
    fits = bisect_right(sides, budget, key=bytes_of)
    return sides[fits - 1] if fits else None
