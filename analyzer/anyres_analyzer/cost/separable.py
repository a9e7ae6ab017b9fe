"""Costs of sizes that were never walked: the height's share times the width's.

A walk over a graph takes milliseconds, and photographs come in thousands of sizes. But every
tensor's size, every dimension and every node's multiply-adds are a function of the height times one
of the width, so with a reference size (H0, W0)

    f(H, W) = f(H, W0) f(H0, W) / f(H0, W0)

and each share is a polynomial on the sizes of one residue modulo the graph's period (see
`formula`). Three walks tell it, a fourth far away must agree. So a graph of period 32 is known
after some 250 walks, made when a residue is first asked for, and a size costs microseconds then.
Where the rule does not hold (an axis that is bounded, a small size, a shape that mixes both axes
otherwise), sizes are walked as ever.

Worked: a convolution of 3 channels to 8 makes 8 H W numbers. From f(64, 64) = 32768 and
f(100, 64) = 51200, f(64, 80) = 40960 follows f(100, 80) = 64000.
"""

from __future__ import annotations

from functools import cache, cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from anyres_analyzer.cost.macs import macs
from anyres_analyzer.cost.memory import moments, schedule
from anyres_analyzer.cost.model import Cost, CostModel
from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_analyzer.sizes.contract import AxisContract, SizeContract

CLEAR = 2  # periods above the smallest size, from which on borders are not all that there is
FAR = 11  # periods from there to the walk that must agree
LARGEST_PERIOD = 128  # beyond, walks would never pay

Vector = NDArray[np.float64]  # whole numbers below 2^53, so exact


class SeparableCostModel:
    """Asked for a size, answers with its `Cost`, as `CostModel` does.

    Raises:
        Inadmissible: the graph does not take this size.
    """

    def __init__(
        self,
        graph: Graph,
        walk: ShapeWalk,
        exact: CostModel,
        sizes: SizeContract,
        periods: tuple[int, int],
    ) -> None:
        self._graph = graph
        self._walk = walk
        self._exact = exact
        self._axes = sizes.height, sizes.width
        self._periods = periods
        self._share = cache(self._fitted)
        self._remembered = lru_cache(maxsize=4096)(self._measure)

    def __call__(self, height: int, width: int, batch: int | None = None) -> Cost:
        """The cost of a batch of images of this size; of the declared batch, or else of one."""
        if batch is not None:
            return self._exact(height, width, batch)
        return self._remembered(height, width)

    def _measure(self, height: int, width: int) -> Cost:
        shares = [self._along(axis, side) for axis, side in enumerate((height, width))]
        if shares[0] is None or shares[1] is None:
            return self._exact(height, width)
        whole = np.divide(
            shares[0] * shares[1], self._reference, out=np.zeros(len(shares[0])), where=self._there
        )
        return self._cost(whole)

    def _along(self, axis: int, side: int) -> Vector | None:
        """All quantities at this side and the reference's other one; None where nobody knows."""
        start = self._starts[axis]
        if start is None or side < start or self._starts[1 - axis] is None or not self._separable:
            return None
        if not self._axes[axis].admits(side):
            return None
        steps, rest = divmod(side - start, self._periods[axis])
        share = self._share(axis, rest)
        return None if share is None else _newton(share, steps)

    def _fitted(self, axis: int, rest: int) -> NDArray[np.float64] | None:
        """Newton's differences on one residue; None where a walk far away disagrees."""
        start, period = self._starts[axis], self._periods[axis]
        assert start is not None, "looked at before"
        try:
            found = [self._at(axis, start + rest + period * step) for step in (0, 1, 2, FAR)]
        except Inadmissible:
            return None
        differences = np.array([found[0], found[1] - found[0], found[2] - 2 * found[1] + found[0]])
        return differences if (_newton(differences, FAR) == found[3]).all() else None

    def _at(self, axis: int, side: int) -> Vector:
        height, width = self._origin
        return self._quantities(side, width) if axis == 0 else self._quantities(height, side)

    @cached_property
    def _starts(self) -> tuple[int | None, int | None]:
        """The side from which on each axis is known; None where it must be walked."""
        starts = (
            _start(axis, period) for axis, period in zip(self._axes, self._periods, strict=True)
        )
        height, width = starts
        return height, width

    @property
    def _origin(self) -> tuple[int, int]:
        height, width = self._starts
        assert height is not None
        assert width is not None
        return height, width

    @cached_property
    def _reference(self) -> Vector:
        return self._quantities(*self._origin)

    @cached_property
    def _there(self) -> NDArray[np.bool_]:
        return self._reference > 0

    @cached_property
    def _separable(self) -> bool:
        """Whether the rule holds where both axes are elsewhere."""
        try:
            height, width = (
                side + period for side, period in zip(self._origin, self._periods, strict=True)
            )
            both = self._quantities(height, width)
            apart = self._at(0, height) * self._at(1, width)
        except Inadmissible:
            return False
        return bool((both * self._reference == apart).all())

    def _quantities(self, height: int, width: int) -> Vector:
        """Every node's multiply-adds, every activation's bytes, every output's dimensions."""
        tensors = self._walk.at(height, width)
        return np.array(
            [
                *(macs(node, tensors) for node in self._graph.nodes),
                *(tensors[name].bytes for name in self._activations),
                *(side for output in self._graph.outputs for side in tensors[output.name].shape),
            ],
            np.float64,
        )

    @cached_property
    def _activations(self) -> list[str]:
        made = (name for node in self._graph.nodes for name in node.made)
        return [self._graph.image.name, *(n for n in made if n not in self._graph.origins)]

    @cached_property
    def _moments(self) -> tuple[list[str], NDArray[np.int64]]:
        """The node of each moment, and which activations are alive then: (moments, activations)."""
        places = {name: place for place, name in enumerate(self._activations)}
        one_each = np.eye(len(places), dtype=np.int64)
        steps = schedule(self._graph, self._walk.at(*self._origin))
        found = list(moments(self._graph.image.name, steps, lambda name: one_each[places[name]]))
        return [node for node, _ in found], np.array([alive for _, alive in found])

    @cached_property
    def _ranks(self) -> dict[str, int]:
        tensors = self._walk.at(*self._origin)
        return {output.name: len(tensors[output.name].shape) for output in self._graph.outputs}

    def _cost(self, quantities: Vector) -> Cost:
        nodes, activations = len(self._graph.nodes), len(self._activations)
        labels, alive = self._moments
        peaks = alive @ quantities[nodes : nodes + activations]
        place = int(peaks.argmax())
        sides = iter(quantities[nodes + activations :].astype(np.int64).tolist())
        return Cost(
            macs=int(quantities[:nodes].sum()),
            activation_bytes=int(peaks[place]),
            peak_node=labels[place],
            output_shapes={
                name: tuple(next(sides) for _ in range(rank)) for name, rank in self._ranks.items()
            },
        )


def _start(axis: AxisContract, period: int) -> int | None:
    if axis.maximum is not None or period > LARGEST_PERIOD or period % axis.step:
        return None
    return axis.minimum + CLEAR * period


def _newton(differences: NDArray[np.float64], steps: int) -> Vector:
    """The value after so many steps: 1, s and s (s - 1) / 2 of the differences."""
    weights = np.array([1, steps, steps * (steps - 1) // 2], np.float64)
    found: Vector = weights @ differences
    return found
