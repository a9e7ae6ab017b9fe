"""Sizes that show what a contract says: one passes, one fails, one is silently wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from anyres_analyzer.errors import SilentlyWrong
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.sizes.contract import SizeContract
from anyres_analyzer.sizes.joint import Joint
from anyres_analyzer.sizes.trial import Trial

PASSES, FAILS, SILENT = "passes", "fails", "silently wrong"


@dataclass(frozen=True)
class Witness:
    """One size (in pixels), what it shows (passes, fails or silently wrong), and why."""

    height: int
    width: int
    shows: str
    why: str


def witnesses(
    trial: Trial, graph: Graph, contract: SizeContract, joint: Joint | None
) -> tuple[Witness, ...]:
    """Up to three sizes, one of each kind that there is."""
    works = contract.height.at_least(32), contract.width.at_least(32)
    found = [Witness(*works, PASSES, "the contract admits it")]
    refused = list(_refused(trial, graph, contract, works))
    if joint:
        height, width = joint.accepted
        maps = f"{joint.node} checks that its map has {joint.product} cells, not their shape"
        refused.append(Witness(height, width, SILENT, maps))
    for shows in (FAILS, SILENT):
        found += [witness for witness in refused if witness.shows == shows][:1]
    return tuple(found)


def _refused(
    trial: Trial, graph: Graph, contract: SizeContract, works: tuple[int, int]
) -> Iterator[Witness]:
    """Sizes beside those that the contract admits, along one axis or both."""
    heights, widths = (
        sorted({n + 1, n - 1, 2 * n, axis.minimum - 1, (axis.maximum or n) + 1, n})
        for n, axis in zip(works, (contract.height, contract.width), strict=True)
    )
    near = sorted(product(heights, widths), key=lambda size: _distance(size, works))
    for height, width in near:
        if min(height, width) > 0 and not contract.admits(height, width):
            yield from _judged(trial, graph, contract, height, width)


def _distance(size: tuple[int, int], works: tuple[int, int]) -> int:
    return abs(size[0] - works[0]) + abs(size[1] - works[1])


def _judged(
    trial: Trial, graph: Graph, contract: SizeContract, height: int, width: int
) -> Iterator[Witness]:
    """What a size shows; nothing where runtimes differ, or a tiny map is stretched by chance."""
    for pixels, dim in zip((height, width), graph.sides, strict=True):
        if isinstance(dim, int) and dim != pixels:
            yield Witness(height, width, FAILS, f"the input is declared {dim}, not {pixels}")
            return
    refusal = trial.refusal(height, width)
    if refusal is not None:
        shows = SILENT if isinstance(refusal, SilentlyWrong) else FAILS
        if refusal.certain:
            yield Witness(height, width, shows, str(refusal))
        return
    axis = contract.width if contract.height.admits(height) else contract.height
    if axis.verdict == "unsafe":
        yield Witness(height, width, SILENT, f"node {axis.node}: {axis.reason}")
