"""The size contract: which heights and widths go through a graph, and the node that decides.

Sizes are tried on the shape walk, so a verdict is a fact about the graph's operators, not a
declaration. Along one axis, with the other at a size that works, the admissible sizes are found as

    minimum + k * step   (k = 0, 1, ...)    up to a maximum where there is one

The step is the distance to the next size that works. Whether a size works depends only on its
residue (merges of strided branches) and on how large it is (windows, crops, fixed contractions), so
the minimum is found by bisection along one residue, and the maximum by trying far sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from anyres_analyzer.errors import Inadmissible, UnsupportedGraph
from anyres_analyzer.graph import Graph
from anyres_analyzer.shapes import ShapeWalk

LARGEST_STEP = 256
FAR_STEPS = (37, 1024)  # how many steps above a size that works still has to work
_LIKELY = (224, 256, 512, 299, 384, 227, 320, 640, 572, 1024, 32, 28, 64, 96, 128)


@dataclass(frozen=True)
class AxisContract:
    """The admissible sizes of one axis: minimum + k * step, up to maximum where it is not None."""

    verdict: str  # free, stepped or fixed
    minimum: int
    step: int
    maximum: int | None
    node: str | None
    reason: str


@dataclass(frozen=True)
class SizeContract:
    """Both axes."""

    height: AxisContract
    width: AxisContract


Refusal = Inadmissible | None
Attempt = Callable[[int], Refusal]


def reference_size(graph: Graph, walk: ShapeWalk) -> tuple[int, int]:
    """A size that goes through: the declared one, or the first likely one that works.

    Raises:
        UnsupportedGraph: none was found; says what stopped the first.
    """
    declared = graph.image.dims[2:]
    first: Inadmissible | None = None
    for side in (*_LIKELY, *range(1, 1025)):
        height, width = (dim if isinstance(dim, int) else side for dim in declared)
        refusal = _attempt(walk, height, width)
        if refusal is None:
            return height, width
        first = first or refusal
    raise UnsupportedGraph(f"no square size up to 1024 goes through the graph: {first}")


def derive(graph: Graph, walk: ShapeWalk, reference: tuple[int, int]) -> SizeContract:
    """The contract around a reference size that works."""
    height, width = reference
    return SizeContract(
        _axis(graph.image.dims[2], height, lambda size: _attempt(walk, size, width)),
        _axis(graph.image.dims[3], width, lambda size: _attempt(walk, height, size)),
    )


def _attempt(walk: ShapeWalk, height: int, width: int) -> Refusal:
    try:
        walk.at(height, width)
    except Inadmissible as refusal:
        return refusal
    return None


def _axis(declared: int | str | None, works: int, attempt: Attempt) -> AxisContract:
    if isinstance(declared, int):
        return _declared(declared, attempt)
    step = _step(works, attempt)
    if step is None:
        refusal = attempt(works + 1)
        assert refusal is not None, "a size one up that works would be a step"
        return AxisContract("fixed", works, 1, works, refusal.node, refusal.reason)
    minimum, below = _minimum(works, step, attempt)
    maximum, above = _maximum(works, step, attempt)
    if above is not None:
        return AxisContract("fixed", minimum, step, maximum, above.node, above.reason)
    between = attempt(works + 1) if step > 1 else below
    verdict = "stepped" if step > 1 else "free"
    node, reason = (between.node, between.reason) if between else (None, _NOBODY)
    return AxisContract(verdict, minimum, step, None, node, reason)


_NOBODY = "every operator on the way takes any size"


def _declared(size: int, attempt: Attempt) -> AxisContract:
    """An input with a static dimension; the graph may tell which node would fix it anyway."""
    refusal = attempt(size + 1) or attempt(2 * size)
    node, reason = (refusal.node, refusal.reason) if refusal else (None, "the input declares it")
    return AxisContract("fixed", size, 1, size, node, reason)


def _step(works: int, attempt: Attempt) -> int | None:
    return next((k for k in range(1, LARGEST_STEP + 1) if attempt(works + k) is None), None)


def _minimum(works: int, step: int, attempt: Attempt) -> tuple[int, Refusal]:
    """The smallest size of this residue that works, and what refuses the one below it."""
    low, high = -1, (works - 1) // step  # in steps above works' residue; low fails, high works
    residue = works - high * step
    below: Refusal = None
    while high - low > 1:
        middle = (low + high) // 2
        refusal = attempt(residue + middle * step)
        if refusal is None:
            high = middle
        else:
            low, below = middle, refusal
    return residue + high * step, below


def _maximum(works: int, step: int, attempt: Attempt) -> tuple[int | None, Refusal]:
    """The largest size that works, and what refuses the next; (None, None) where there is none."""
    if all(attempt(works + far * step) is None for far in FAR_STEPS):
        return None, None
    size = works
    while (refusal := attempt(size + step)) is None:
        size += step
    return size, refusal
