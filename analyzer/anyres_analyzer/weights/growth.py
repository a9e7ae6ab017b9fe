"""How many parameters a model would need at another image size.

A fully convolutional network needs the same at every size. An FC head over space has a weight from
every pixel of its map to every output, (C * h(H) * w(W)) * K, so a larger image asks for a larger
first layer, of a model that would have to be trained anew. Example: VGG16's first FC layer holds
(512 * 7 * 7) * 4096 weights and 4096 biases at 224x224, 102 764 544; at 448x448 its map is 14x14
and it would hold 411 045 888.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from anyres_analyzer.graph.graph import Graph, Node, Value
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_analyzer.weights.axes import FACTORS, Axes, axes_of
from anyres_analyzer.weights.kinds import WEIGHT_INPUT, contraction
from anyres_analyzer.weights.mixing import USUAL_SIDE, Analysed


@dataclass(frozen=True)
class ParametersBySize:
    """What a model with the same layers needs at one image size."""

    size: tuple[int, int]
    """(width, height) of the image."""
    node: str | None
    """The first FC layer over space; null where there is none, and nothing grows."""
    map: tuple[int, int] | None
    """(width, height) of the map in front of it."""
    layer_parameters: int | None
    """What that layer needs, bias included."""
    parameters: int
    """What the whole model needs."""


def parameters_by_size(
    analysis: Analysed, sizes: Iterable[tuple[int, int]]
) -> tuple[ParametersBySize, ...]:
    """The parameters that each (width, height) asks for, exact, whether the file takes it or not.

    Raises:
        Inadmissible: a size does not even reach the first FC layer; names the node and why.
    """
    total = sum(weight.parameters for weight in analysis.weights)
    head = _head(analysis)
    if head is None:
        return tuple(ParametersBySize(size, None, None, None, total) for size in sizes)
    return tuple(head.at(size, total) for size in sizes)


@dataclass(frozen=True)
class _Head:
    """The first FC layer over space, and the map that it is given."""

    node: Node
    walk: ShapeWalk  # of the graph up to the map
    map: str
    dims: dict[int, int]  # image axis: the map's dimension that it contracts
    shape: tuple[int, ...]  # of the map, at the size that the file takes
    weights: int
    biases: int
    axes: tuple[int, int]  # the map's dimensions of H and W

    def at(self, size: tuple[int, int], total: int) -> ParametersBySize:
        """The parameters at one (width, height)."""
        shape = self.walk.at(size[1], size[0])[self.map].shape
        growth = prod(Fraction(shape[dim], self.shape[dim]) for dim in self.dims.values())
        needed = int(self.weights * growth) + self.biases
        return ParametersBySize(
            size=size,
            node=self.node.label,
            map=(shape[self.axes[1]], shape[self.axes[0]]),
            layer_parameters=needed,
            parameters=total - self.weights - self.biases + needed,
        )


def _head(analysis: Analysed) -> _Head | None:
    over_space = (weight for weight in analysis.weights if weight.kind == "fc over space")
    weight = next(over_space, None)
    if weight is None:
        return None
    graph, sizes = analysis.graph, analysis.sizes
    tensors = analysis.shapes.at(*(a.at_least(USUAL_SIDE) for a in (sizes.height, sizes.width)))
    axes = axes_of(graph, tensors)
    node = next(node for node in graph.nodes if node.label == weight.node)
    factors = [
        node.inputs[i] for i in FACTORS.get(node.op_type, (0, WEIGHT_INPUT.get(node.op_type, 1)))
    ]
    image, learned = factors if factors[0] in axes else factors[::-1]
    contracted = contraction(node, axes)[0] if node.op_type in FACTORS else frozenset({0, 1})
    place = _map(graph, axes, image)
    dims = {axis: axes[place].index(frozenset({axis})) for axis in (0, 1)}
    weights = tensors[learned].elements
    return _Head(
        node=node,
        walk=ShapeWalk(_until(graph, place, tensors)),
        map=place,
        dims={axis: dims[axis] for axis in contracted},
        shape=tensors[place].shape,
        weights=weights,
        biases=weight.parameters - weights,
        axes=(dims[0], dims[1]),
    )


def _map(graph: Graph, axes: dict[str, Axes], name: str) -> str:
    """The last tensor on the way to this one in which H and W are dimensions of their own."""
    makers = {made: node for node in graph.nodes for made in node.made}
    while not {frozenset({0}), frozenset({1})} <= set(axes[name]):
        name = next(given for given in makers[name].inputs if given in axes)
    return name


def _until(graph: Graph, name: str, tensors: Tensors) -> Graph:
    """The part of a graph that makes one tensor."""
    wanted, nodes = {name}, []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.made):
            nodes.append(node)
            wanted.update(node.inputs)
    output = Value(name, tensors[name].elem_type, tensors[name].shape)
    return replace(graph, nodes=tuple(reversed(nodes)), outputs=(output,))
