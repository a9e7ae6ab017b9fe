"""The matrix of a 1x1 convolution, whatever operator writes it.

A convolution of groups has a block for each: (groups, C_out / groups, C_in / groups). A product of
a channels-last map with a matrix, as transformers write it, has one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.weights.axes import FACTORS
from anyres_analyzer.weights.kinds import WEIGHT_INPUT, Weight
from anyres_analyzer.weights.numbers import numbers

_ZERO_POINTS = {"ConvInteger": 3, "MatMulInteger": 3, "QLinearConv": 5, "QLinearMatMul": 5}
_SCALES = {"QLinearConv": 4, "QLinearMatMul": 4}


@dataclass(frozen=True)
class Point:
    """A 1x1 convolution: the tensor it is applied to, its weight, and the shape of its blocks."""

    node: Node
    image: str
    weight: str
    groups: int
    outputs: int  # of each group
    inputs: int  # of each group

    def blocks(self, graph: Graph) -> NDArray[Any] | None:
        """Its matrices, read now: (groups, outputs, inputs). None where their file is missing."""
        weight = numbers(graph, self.weight)
        if weight is None:
            return None
        weight = _dequantized(graph, self.node, weight)
        if self.node.op_type in FACTORS:
            matrix = weight.reshape(weight.shape[-2:])
            upright = matrix if _is_upright(self) else matrix.T
            alpha = float(self.node.attributes.get("alpha", 1))
            return np.expand_dims(upright * upright.dtype.type(alpha), 0)
        if self.node.op_type == "ConvTranspose":
            return weight.reshape(self.groups, self.inputs, self.outputs).transpose(0, 2, 1)
        return weight.reshape(self.groups, self.outputs, self.inputs)


def points(graph: Graph, weights: tuple[Weight, ...], tensors: Tensors) -> Iterator[Point]:
    """The 1x1 convolutions among a graph's layers, in order.

    One whose weight depends on the image, or is a stack of matrices, has no one matrix.
    """
    wanted = {weight.node for weight in weights if weight.kind == "1x1 convolution"}
    for node in graph.nodes:
        if node.label not in wanted:
            continue
        point = _product(graph, node, tensors) if node.op_type in FACTORS else _slid(node, tensors)
        one = node.op_type not in FACTORS or prod(tensors[point.weight].shape[:-2]) == 1
        if one and point.weight in graph.origins:
            yield point


def _slid(node: Node, tensors: Tensors) -> Point:
    weight = node.inputs[WEIGHT_INPUT[node.op_type]]
    first, second = tensors[weight].shape[:2]
    groups = node.attributes.get("group", 1)
    sides = (
        (second, first // groups) if node.op_type == "ConvTranspose" else (first // groups, second)
    )
    return Point(node, node.inputs[0], weight, groups, *sides)


def _product(graph: Graph, node: Node, tensors: Tensors) -> Point:
    names = [node.inputs[index] for index in FACTORS[node.op_type]]
    weight, image = names if names[0] in graph.origins else names[::-1]
    point = Point(node, image, weight, 1, *tensors[weight].shape[-2:])
    if _is_upright(point):
        return point
    return Point(node, image, weight, 1, point.inputs, point.outputs)


def _is_upright(point: Point) -> bool:
    """Whether the stored matrix is (C_out, C_in): on the left as it is, on the right transposed."""
    left = point.node.inputs[0] == point.weight
    swapped = point.node.attributes.get("transA" if left else "transB", 0)
    return left != bool(swapped)


def _dequantized(graph: Graph, node: Node, weight: NDArray[Any]) -> NDArray[Any]:
    """The real numbers of a quantized operator's weight: (weight - zero point) * scale."""
    if node.op_type not in _ZERO_POINTS:
        return weight
    offset = _beside(graph, node, _ZERO_POINTS[node.op_type], weight)
    scale = _beside(graph, node, _SCALES.get(node.op_type, len(node.inputs)), weight)
    real = weight.astype(np.float32) - (0 if offset is None else offset.astype(np.float32))
    return real if scale is None else real * scale


def _beside(graph: Graph, node: Node, index: int, weight: NDArray[Any]) -> NDArray[Any] | None:
    """One number for all, or one for each output channel: the first dimension, or a column."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    value = numbers(graph, name) if name in graph.origins else None
    if value is None or value.ndim != 1 or node.op_type in FACTORS:
        return value
    return value.reshape(-1, *[1] * (weight.ndim - 1))
