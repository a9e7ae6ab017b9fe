"""What one size costs: multiply-adds and peak activation memory, counted on the walked shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from anyres_analyzer.cost.macs import macs
from anyres_analyzer.cost.memory import moments, schedule
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk


@dataclass(frozen=True)
class Cost:
    """One size: MACs, peak bytes of activations, the node where they peak, each output's shape."""

    macs: int
    activation_bytes: int
    peak_node: str
    output_shapes: Mapping[str, tuple[int, ...]]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The first output's: the one that is served."""
        return next(iter(self.output_shapes.values()))


class CostModel:
    """Asked for a size, answers with its `Cost`; remembers what it was asked.

    Raises:
        Inadmissible: the graph does not take this size.
    """

    def __init__(self, graph: Graph, walk: ShapeWalk) -> None:
        self._graph = graph
        self._walk = walk
        self._remembered = lru_cache(maxsize=4096)(self._measure)

    def __call__(self, height: int, width: int, batch: int | None = None) -> Cost:
        """The cost of a batch of images of this size; of the declared batch, or else of one."""
        return self._remembered(height, width, batch)

    def _measure(self, height: int, width: int, batch: int | None) -> Cost:
        return measure(self._graph, self._walk.at(height, width, batch))


def measure(graph: Graph, tensors: Tensors) -> Cost:
    """The cost of the size that these tensors were walked at."""
    alive = moments(graph.image.name, schedule(graph, tensors), lambda name: tensors[name].bytes)
    where, peak = max(alive, key=lambda moment: moment[1])
    return Cost(
        macs=sum(macs(node, tensors) for node in graph.nodes),
        activation_bytes=peak,
        peak_node=where,
        output_shapes={output.name: tensors[output.name].shape for output in graph.outputs},
    )
