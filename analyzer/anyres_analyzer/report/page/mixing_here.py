"""What 1x1 convolutions and FC heads do in one model, with that model's own numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.graph.graph import Node
from anyres_analyzer.report.facts import Layer, Report, Size
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.weights.mixing import Mixing, mixing

HEADS = ("fc over space", "fc")


@dataclass(frozen=True)
class Head:
    """An FC layer: from `inputs` values to `outputs`, of a map (channels, width, height)."""

    layer: Layer
    inputs: int
    outputs: int
    map: tuple[int, int, int] | None
    """The last map in front of it; None where another FC layer stands between."""

    @property
    def over_space(self) -> bool:
        """Whether it mixes pixels, so that their number is part of it."""
        return self.layer.kind == HEADS[0]

    @property
    def flattened(self) -> int | None:
        """The weights of the same layer over the flattened map: one from every value of it."""
        return None if self.map is None else prod(self.map) * self.outputs


@dataclass(frozen=True)
class MixingHere:
    """All that the page says of them."""

    points: tuple[Mixing, ...]
    heads: tuple[Head, ...]

    @property
    def weights(self) -> int:
        """Of all 1x1 convolutions, without biases."""
        return sum(point.parameters for point in self.points)

    @property
    def largest(self) -> Mixing:
        """The 1x1 convolution with the most weights."""
        return max(self.points, key=lambda point: point.parameters)

    @property
    def last(self) -> Mixing:
        """The 1x1 convolution nearest to the output."""
        return self.points[-1]

    @property
    def off_diagonal(self) -> tuple[float, float] | None:
        """The least and the largest share off the diagonal, of those that are square."""
        shares = [p.off_diagonal for p in self.points if p.off_diagonal is not None]
        return (min(shares), max(shares)) if shares else None


def mixing_here(report: Report, analysis: Analysis, size: Size) -> MixingHere:
    """The 1x1 convolutions and FC layers of a model, at one admissible (width, height).

    Raises:
        Inadmissible: the model does not take this size.
        NotAModel: a weight's numbers are not what its shape needs.
    """
    tensors = analysis.shapes.at(size[1], size[0])
    heads = tuple(_head(layer, analysis, tensors) for layer in report.layers if layer.kind in HEADS)
    measured = mixing(analysis, size[1], size[0]) if report.mixing is None else report.mixing
    return MixingHere(measured, heads)


def _head(layer: Layer, analysis: Analysis, tensors: Tensors) -> Head:
    node = next(node for node in analysis.graph.nodes if node.label == layer.node)
    image = next(name for name in node.inputs if name not in analysis.graph.origins)
    made = tensors[node.made[0]]
    inputs = layer.macs // made.elements or prod(tensors[image].shape[1:])  # MACs where counted
    return Head(layer, inputs, prod(made.shape[1:]), _map_before(node, analysis, tensors))


def _map_before(node: Node, analysis: Analysis, tensors: Tensors) -> tuple[int, int, int] | None:
    """(channels, width, height) of the last map with several pixels that no FC layer has mixed."""
    graph = analysis.graph
    fc = {weight.node for weight in analysis.weights if weight.kind in HEADS}
    makers = {made: n for n in graph.nodes if n.label not in fc for made in n.made}
    name = next((n for n in node.inputs if n and n not in graph.origins), None)
    while name is not None:
        shape = tensors[name].shape
        if len(shape) == 4 and prod(shape[2:]) > 1:
            return shape[1], shape[3], shape[2]
        given = makers[name].inputs if name in makers else ()
        name = next((n for n in given if n and n not in graph.origins), None)
    return None
