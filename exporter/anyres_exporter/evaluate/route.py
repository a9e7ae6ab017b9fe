"""How a picture goes through the network: whole, in exact tiles, or not at all.

Tiles are drawn in `anyres_analyzer.tiling.plan`; the card says where they may begin and how much
they must see around them. Where outputs are coarser than pixels, a tile also needs the first output
of the next one to interpolate towards, which is at most one alignment further on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, lcm, prod
from typing import TypeAlias

from anyres_analyzer import Analysis
from anyres_analyzer.tiling.plan import AxisRule, AxisTile, Tile, plan, plan_axis
from anyres_exporter.evaluate.errors import CannotEvaluate, DoesNotFit
from anyres_exporter.evaluate.memory import held_bytes, network_bytes
from anyres_proto.card import AxisContract, AxisTiling, Card

Size: TypeAlias = tuple[int, int]  # height, width
Rules: TypeAlias = tuple[AxisRule, AxisRule]


@dataclass(frozen=True)
class Tiling:
    """When to cut: above the budget, never, or whatever is larger than a tile of this size."""

    mode: str = "auto"  # "auto", "never" or "size"
    size: Size | None = None

    @classmethod
    def parse(cls, text: str) -> Tiling:
        """From `auto`, `never` or WIDTHxHEIGHT.

        Raises:
            CannotEvaluate: it is none of them.
        """
        if text in {"auto", "never"}:
            return cls(text)
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
        if match is None:
            raise CannotEvaluate(
                f"--tile is auto, never or a tile's WIDTHxHEIGHT in pixels; got {text!r}"
            )
        return cls("size", (int(match[2]), int(match[1])))


AUTO = Tiling()


class Router:
    """Finds the tiles of a size; remembers what it found."""

    def __init__(
        self, card: Card, analysis: Analysis | None, tiling: Tiling, budget_bytes: int
    ) -> None:
        self._card = card
        self._analysis = analysis
        self._tiling = tiling
        self._budget_bytes = budget_bytes
        self._rules = rules(card)
        self._tiles = lru_cache(maxsize=256)(self._planned)

    def tiles(self, size: Size) -> tuple[Tile, ...]:
        """The pieces of a picture (height, width); one where it goes whole.

        Raises:
            DoesNotFit: the network does not take the size, or not within the budget.
            CannotEvaluate: it should be cut, and tiles would not be exact.
        """
        return self._tiles(size)

    def _planned(self, size: Size) -> tuple[Tile, ...]:
        refuse_size(self._card, size)
        whole = (Tile(AxisTile(0, size[0], 0, size[0]), AxisTile(0, size[1], 0, size[1])),)
        if self._tiling.mode == "never":
            return whole
        if self._tiling.size is not None:
            return self._of_size(size, self._tiling.size) or whole
        held = held_bytes(size, self._card.input.channels)
        need = network_bytes(size, self._card, self._analysis)
        if need is None or held + need <= self._budget_bytes:
            return whole
        return self._within(size, self._budget_bytes - held, held + need)

    def _of_size(self, size: Size, tile: Size) -> tuple[Tile, ...]:
        """Tiles that are at most this large; none where the whole picture is."""
        if size[0] <= tile[0] and size[1] <= tile[1]:
            return ()
        if self._rules is None:
            raise CannotEvaluate(f"{inexact(self._card)}; --tile never takes pictures whole")
        axes = list(zip(size, tile, self._rules, strict=True))
        height, width = (_core(side, most, rule) for side, most, rule in axes)
        if not (height and width):
            least = [_longest(side, rule.alignment, rule) for side, _, rule in axes]
            raise CannotEvaluate(
                f"tiles of {tile[1]}x{tile[0]} leave no room for what the network must see around "
                f"them; for a picture of {size[1]}x{size[0]} they are at least "
                f"{least[1]}x{least[0]}"
            )
        return plan(size, (height, width), self._rules)

    def _within(self, size: Size, budget: int, need: int) -> tuple[Tile, ...]:
        """The largest tiles whose predicted peaks are within the budget, to a fifth of their side.

        From large to small, and not by bisection: the runtime reserves memory in leaps, and a tile
        may take more than a slightly larger one.
        """
        if self._rules is None:
            raise self._too_large(size, need, inexact(self._card))
        unit = lcm(*(rule.alignment for rule in self._rules))
        for units in _shrinking(ceil(max(size) / unit)):
            tiles = plan(size, (units * unit, units * unit), self._rules)
            if len(tiles) > 1 and self._fit(tiles, budget):
                return tiles
        raise self._too_large(size, need, "its smallest exact tile needs too much as well")

    def _fit(self, tiles: tuple[Tile, ...], budget: int) -> bool:
        sizes = sorted({tile.size for tile in tiles}, key=prod, reverse=True)
        needs = (network_bytes(size, self._card, self._analysis) or 0 for size in sizes)
        return all(need <= budget for need in needs)

    def _too_large(self, size: Size, need: int, why: str) -> DoesNotFit:
        return DoesNotFit(
            f"{size[1]}x{size[0]} needs about {_mib(need)} of memory and may use "
            f"{_mib(self._budget_bytes)}; {why} (--memory-mib allows more, --tile never takes it "
            "whole all the same)"
        )


def refuse_size(card: Card, size: Size) -> None:
    """Refuse a picture (height, width) that the model does not take; nothing is ever resized.

    Raises:
        DoesNotFit: with the sizes that it takes, and how to get a model that takes this one.
    """
    axes = (("width", card.sizes.width, size[1]), ("height", card.sizes.height, size[0]))
    wrong = [(name, axis) for name, axis, side in axes if not axis.admits(side)]
    if not wrong:
        return
    wanted = " and ".join(f"a {name} of {axis.expected()}" for name, axis in wrong)
    hint = next((text for axis_is, text in _HINTS if all(axis_is(axis) for _, axis in wrong)), "")
    raise DoesNotFit(f"'{card.name}' does not take {size[1]}x{size[0]}; it takes {wanted}{hint}")


_HINTS: tuple[tuple[Callable[[AxisContract], bool], str], ...] = (
    (
        lambda axis: axis.verdict == "stepped",
        " (`anyres export --any-size edge` makes one that takes every size)",
    ),
    (
        lambda axis: axis.minimum == axis.maximum,
        " (a head of fully connected layers fixes that; `anyres convolutionalize` frees it)",
    ),
)


def rules(card: Card) -> Rules | None:
    """How the card lets a picture be cut; None where tiles would not be exact."""
    tiling, sizes = card.tiling, card.sizes
    if tiling.height is None or tiling.width is None:
        return None
    stride, offset = card.output.stride, card.output.offset
    height, width = (
        _rule(axis, contract, between=stride[i] != 1 or offset[i].denominator != 1)
        for i, (axis, contract) in enumerate(
            ((tiling.height, sizes.height), (tiling.width, sizes.width))
        )
    )
    return height, width


def inexact(card: Card) -> str:
    """Why tiles would not equal the whole picture."""
    if card.tiling.breakers:
        return f"tiles would not be exact: {card.tiling.breakers[0]}"
    return f"the card of '{card.name}' does not say how to cut a picture into exact tiles"


def _rule(tiling: AxisTiling, contract: AxisContract, *, between: bool) -> AxisRule:
    next_output = tiling.alignment if between else 0
    return AxisRule(
        tiling.alignment,
        tiling.halo_before,
        tiling.halo_after + next_output,
        contract.minimum,
        contract.step,
    )


def _core(side: int, most: int, rule: AxisRule) -> int:
    """The largest core whose tiles are at most this long; 0 where there is none."""
    units = _largest(
        lambda units: _longest(side, units * rule.alignment, rule) <= most,
        ceil(side / rule.alignment),
    )
    return units * rule.alignment


def _longest(side: int, core: int, rule: AxisRule) -> int:
    return max(tile.stop - tile.start for tile in plan_axis(side, core, rule))


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest of 1 to `most` that fits, 0 where not even 1 does; larger ones fit no better."""
    fit, too_many = 0, most + 1
    while too_many - fit > 1:
        middle = (fit + too_many) // 2
        if fits(middle):
            fit = middle
        else:
            too_many = middle
    return fit


def _shrinking(most: int) -> Iterator[int]:
    """From `most` down to 1, each a fifth less than the one before."""
    while most > 1:
        yield most
        most = most * 4 // 5
    yield 1


def _mib(amount: int) -> str:
    return f"{-(-amount // 2**20):,} MiB"
