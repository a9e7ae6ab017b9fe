"""Cost in closed form: exact polynomials in H and W for each residue class of sizes.

What a layer makes of n pixels is floor((n + c) / s), which is affine on the sizes of one residue
modulo the period A of the graph's sampling lattices. So every tensor's size, and with it MACs and
bytes, is a polynomial a HW + b H + c W + d on each residue class (attention adds squares). It is
fitted exactly at a few sizes that are walked, and checked at others; where the check fails, a
higher degree or larger sizes are tried. Peak memory is the largest of several such polynomials, one
for each node whose moment can be the peak.

Example: a U-Net of four levels without batch norm has 733888 HW MACs where 16 divides H and W.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np

from anyres_analyzer.cost.macs import macs
from anyres_analyzer.cost.memory import moments, schedule
from anyres_analyzer.cost.polynomial import (
    Lattice,
    Monomials,
    Numbers,
    differences,
    evaluate,
    monomials,
)
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_analyzer.sizes.contract import AxisContract, SizeContract

DEGREES = (1, 2, 3)
STARTS = (0, 2, 8)  # periods above the smallest size, whose borders may be all that there is
FAR = 37
REPEATS = (1, 2, 3, 4)  # of the lattices' period: halves and the like of a map repeat later


@dataclass(frozen=True)
class Polynomial:
    """A whole number for each size of a lattice."""

    lattice: Lattice
    coefficients: tuple[tuple[int, ...], ...]

    def __call__(self, height: int, width: int) -> int:
        """Its value at a size of the lattice."""
        place = self.lattice.place(height, width)
        assert place is not None, "the formula of another residue class"
        return int(evaluate(np.array(self.coefficients, object), *place))

    def monomials(self) -> Monomials:
        """Its coefficients by powers of H and W, highest first."""
        return monomials(np.array(self.coefficients, object), self.lattice)


@dataclass(frozen=True)
class Moment:
    """What is alive during one node's turn."""

    node: str
    activation_bytes: Polynomial


@dataclass(frozen=True)
class Formula:
    """Cost on one residue class of sizes, from the lattice's start on."""

    lattice: Lattice
    macs: Polynomial
    tensor_bytes: Polynomial  # of all activations, were they all kept
    moments: tuple[Moment, ...]  # those that are the peak at some size

    def peak(self, height: int, width: int) -> tuple[int, str]:
        """Peak bytes of activations at a size of the lattice, and the node where they peak."""
        found = ((moment.activation_bytes(height, width), moment.node) for moment in self.moments)
        return max(found, key=lambda peak: peak[0])


class FormulaModel:
    """Asked for a size, answers with the formula of its residue class."""

    def __init__(
        self, graph: Graph, walk: ShapeWalk, sizes: SizeContract, periods: tuple[int, int]
    ) -> None:
        self._graph = graph
        self._walk = walk
        self._axes = sizes.height, sizes.width
        self._periods = periods
        self._of_class = cache(self._fit)

    def __call__(self, height: int, width: int) -> Formula | None:
        """The formula that holds at this size; None where no polynomial does.

        Raises:
            Inadmissible: the contract admits the size, and the graph does not.
        """
        for times in REPEATS:
            periods = self._periods[0] * times, self._periods[1] * times
            starts = (
                _smallest(axis, n, period)
                for axis, n, period in zip(self._axes, (height, width), periods, strict=True)
            )
            formula = self._of_class(periods, *starts)
            if formula and formula.lattice.place(height, width) is not None:
                return formula
        return None

    def _fit(self, periods: tuple[int, int], height: int, width: int) -> Formula | None:
        candidates = (
            self._fitted(Lattice(self._start(periods, height, width, above), periods), degree)
            for above in STARTS
            for degree in DEGREES
        )
        return next((formula for formula in candidates if formula), None)

    def _start(
        self, periods: tuple[int, int], height: int, width: int, above: int
    ) -> tuple[int, int]:
        """Further up along the axes that go on."""
        return (
            height + above * periods[0] * self._open(0),
            width + above * periods[1] * self._open(1),
        )

    def _open(self, axis: int) -> bool:
        return self._axes[axis].maximum is None

    def _fitted(self, lattice: Lattice, degree: int) -> Formula | None:
        """The formula of this degree, if it foretells sizes that it was not made from."""
        last = [degree * self._open(axis) for axis in (0, 1)]
        grid = [[self._at(lattice, u, v) for v in range(last[1] + 1)] for u in range(last[0] + 1)]
        coefficients = differences(np.array(grid, object))
        for u, v in _others(last):
            found = evaluate(coefficients, u, v)
            if list(found) != list(self._at(lattice, u, v)):
                return None
        return self._formula(lattice, coefficients)

    def _at(self, lattice: Lattice, u: int, v: int) -> list[int]:
        """MACs, and the bytes of every activation, at one place of the lattice."""
        tensors = self._walk.at(*lattice.size(u, v))
        work = sum(macs(node, tensors) for node in self._graph.nodes)
        return [work, *(tensors[name].bytes for name in self._activations)]

    @cached_property
    def _activations(self) -> list[str]:
        made = (name for node in self._graph.nodes for name in node.made)
        return [self._graph.image.name, *(n for n in made if n not in self._graph.origins)]

    def _formula(self, lattice: Lattice, coefficients: Numbers) -> Formula:
        names = {name: index for index, name in enumerate(self._activations, start=1)}
        tensors = self._walk.at(*lattice.size(*(FAR * self._open(axis) for axis in (0, 1))))
        alive = self._moments(tensors, {n: coefficients[:, :, i] for n, i in names.items()})
        return Formula(
            lattice,
            _polynomial(lattice, coefficients[:, :, 0]),
            _polynomial(lattice, coefficients[:, :, 1:].sum(axis=2)),
            tuple(Moment(node, _polynomial(lattice, c)) for node, c in _outermost(alive)),
        )

    def _moments(self, tensors: Tensors, sizes: dict[str, Numbers]) -> list[tuple[str, Numbers]]:
        steps = schedule(self._graph, tensors)
        return list(moments(self._graph.image.name, steps, sizes.__getitem__))


def _smallest(axis: AxisContract, size: int, period: int) -> int:
    """The smallest admissible size of the same residue; the size itself along a bounded axis."""
    if axis.maximum is not None:
        return size
    return axis.minimum + (size - axis.minimum) % period


def _others(last: list[int]) -> Iterator[tuple[int, int]]:
    """Places beside those that the coefficients come from, near and far."""
    one, other = ((n + 1, FAR) if n else (0,) for n in last)
    yield from product(one, other)


def _polynomial(lattice: Lattice, coefficients: Numbers) -> Polynomial:
    return Polynomial(lattice, tuple(tuple(map(int, row)) for row in coefficients))


def _outermost(alive: list[tuple[str, Numbers]]) -> list[tuple[str, Numbers]]:
    """Without the moments that another is never below: binomials are never negative.

    Of equal moments the first stays.
    """
    kept: list[tuple[str, Numbers]] = []
    for node, coefficients in sorted(alive, key=lambda moment: -moment[1].sum()):
        if not any((coefficients <= other).all() for _, other in kept):
            kept.append((node, coefficients))
    order = {id(coefficients): i for i, (_, coefficients) in enumerate(alive)}
    return sorted(kept, key=lambda moment: order[id(moment[1])])
