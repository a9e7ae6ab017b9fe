"""Trying a size: does it go through, and does each image still have an answer of its own?

A graph can take a size and be wrong: `Reshape(-1, 512)` of a larger map makes several rows of one
image, and the batch is contaminated without an error. Such a size is refused like any other.
"""

from __future__ import annotations

from collections.abc import Callable

from anyres_analyzer.errors import Inadmissible, SilentlyWrong, UnsupportedGraph
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_analyzer.sizes.contract import (
    Attempt,
    AxisContract,
    Refusal,
    SizeContract,
    axis_contract,
)

Extent = Callable[[str, int, int], int]  # tensor, dimension, size along an axis -> cells
_LIKELY = (224, 256, 512, 299, 384, 227, 320, 640, 572, 1024, 32, 28, 64, 96, 128)
_RESHAPES = frozenset({"Reshape", "Flatten"})


class Trial:
    """One graph that sizes are tried on."""

    def __init__(self, graph: Graph, walk: ShapeWalk) -> None:
        self._graph = graph
        self._walk = walk

    def reference(self) -> tuple[int, int]:
        """A size that goes through: the declared one, or the first likely one that works.

        Raises:
            UnsupportedGraph: none was found; says what stopped the first.
        """
        declared = self._graph.sides
        sides = (*_LIKELY, *range(2, 1025), 1)  # 1 last: a single pixel broadcasts to anything
        tried = dict.fromkeys(
            tuple(dim if isinstance(dim, int) else side for dim in declared) for side in sides
        )
        first: Refusal = None
        for height, width in tried:
            refusal = self.refusal(height, width)
            if refusal is None:
                return height, width
            first = first or refusal
        sizes = "the declared size" if len(tried) == 1 else "no side up to 1024"
        verb = "does not go" if len(tried) == 1 else "goes"
        raise UnsupportedGraph(f"{sizes} {verb} through the graph: {first}")

    def contract(self, reference: tuple[int, int], periods: tuple[int, int]) -> SizeContract:
        """The contract around a size that works; `periods` are those of the sampling lattices."""
        height, width = reference
        return SizeContract(
            self._axis(0, height, periods[0], lambda size: self.refusal(size, width)),
            self._axis(1, width, periods[1], lambda size: self.refusal(height, size)),
        )

    def _axis(self, side: int, works: int, period: int, attempt: Attempt) -> AxisContract:
        return axis_contract(self._graph.sides[side], works, period, attempt)

    def refusal(self, height: int, width: int) -> Refusal:
        """What refuses this size; None where it goes through."""
        try:
            tensors = self._walk.at(height, width)
        except Inadmissible as refusal:
            return refusal
        return self._contamination(tensors)

    def extent(self, tensor: str, dim: int, height: int, width: int) -> int:
        """How long a tensor is in one dimension, even at a size that stops behind it; else 0."""
        found = self._walk.reached(height, width).get(tensor)
        return found.shape[dim] if found else 0

    def along_height(self, reference: tuple[int, int]) -> Extent:
        """`extent` of images as wide as a size that works."""
        return lambda tensor, dim, height: self.extent(tensor, dim, height, reference[1])

    def along_width(self, reference: tuple[int, int]) -> Extent:
        """`extent` of images as high as a size that works."""
        return lambda tensor, dim, width: self.extent(tensor, dim, reference[0], width)

    def _contamination(self, tensors: Tensors) -> Refusal:
        """Where rows of one image become rows of the batch, if the output shows that they did."""
        batch = self._graph.batch
        rows = tensors[self._graph.outputs[0].name].shape[:1]
        if not rows or rows[0] == batch or rows[0] % batch:
            return None
        node = next((n for n in self._graph.nodes if self._splits(n, tensors)), None)
        if node is None:
            return None
        return SilentlyWrong(
            node.label, f"it turns pixels into rows of the batch: {rows[0]} answers for {batch}"
        )

    def _splits(self, node: Node, tensors: Tensors) -> bool:
        if node.op_type not in _RESHAPES or tensors[node.inputs[0]].value is not None:
            return False
        rows = tensors[node.outputs[0]].shape[:1]
        return tensors[node.inputs[0]].shape[:1] == (self._graph.batch,) != rows
