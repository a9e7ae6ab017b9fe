"""What each 1x1 convolution does to the channels: its mixing matrix, measured.

At every position the layer multiplies the vector of C_in channels by one matrix of C_out x C_in.
That is no scalar per channel: such a layer would be a diagonal matrix, and how far this one is from
diagonal is said here, with its rank. And it is no FC layer over the map, which would have a weight
from each channel of each position to each channel of each other. Example: a 1x1 convolution from 64
to 64 channels holds 4096 weights; as an FC layer over a 56x56 map it would hold (64 * 56 * 56)^2,
about 40 billion.

The rank is numerical: singular values count above  u * sqrt(min(C_in, C_out)) * the largest, where
u is the unit roundoff of the type the weights are in (2^-11 for float16, 2^-8 for bfloat16, 2^-24
for float32 and all others). Rounding a matrix to that type lifts no zero above it: singular values
change by no more than the Frobenius norm of the rounding (Weyl), at most u times the matrix's own.

Nothing here belongs to `analyze`: weights are read, one at a time, when `mixing` is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_analyzer.sizes.contract import SizeContract
from anyres_analyzer.weights.kinds import Weight
from anyres_analyzer.weights.matrix import Point, points

USUAL_SIDE = 224
_ROUNDOFF = {"float16": 2**-11, "bfloat16": 2**-8}
_FLOAT32 = 2**-24


class Analysed(Protocol):
    """What is asked of an `Analysis`."""

    @property
    def graph(self) -> Graph: ...  # noqa: D102
    @property
    def shapes(self) -> ShapeWalk: ...  # noqa: D102
    @property
    def sizes(self) -> SizeContract: ...  # noqa: D102
    @property
    def weights(self) -> tuple[Weight, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class Mixing:
    """One 1x1 convolution, whatever operator writes it; counts without bias."""

    node: str
    inputs: int
    """C_in, of all groups together."""
    outputs: int
    """C_out, likewise."""
    groups: int
    """The matrix is block diagonal with so many blocks; 1 mixes every channel with every other."""
    parameters: int
    """C_out * C_in / groups."""
    rank: int | None
    """Of the whole C_out x C_in matrix; null where the weights' file is missing."""
    full_rank: int
    """The largest rank that its shape and groups allow."""
    off_diagonal: float | None
    """Share of the matrix's squared Frobenius norm off its diagonal: 0 would be one scalar per
    channel. null where it is not square, so that no channel goes to itself, or all zero."""
    size: tuple[int, int]
    """The (width, height) of the image for which the rest holds."""
    positions: int
    """At how many positions of the map the matrix is applied."""
    macs: int
    fc_parameters: int
    """Of an FC layer from the same map to the same map: (C_in * h * w) * (C_out * h * w)."""
    fc_macs: int
    """One for each of its parameters."""


def mixing(
    analysis: Analysed, height: int | None = None, width: int | None = None
) -> tuple[Mixing, ...]:
    """Every 1x1 convolution of a model, in graph order.

    Costs are those of one image of this size, or of the smallest from 224x224 on that it takes.

    Raises:
        Inadmissible: the model does not take this size.
        NotAModel: a weight's numbers are not what its shape needs.
    """
    height = height or analysis.sizes.height.at_least(USUAL_SIDE)
    width = width or analysis.sizes.width.at_least(USUAL_SIDE)
    graph, tensors = analysis.graph, analysis.shapes.at(height, width)
    return tuple(
        _measured(graph, point, tensors, (width, height))
        for point in points(graph, analysis.weights, tensors)
    )


def mixing_matrix(analysis: Analysed, node: str) -> NDArray[Any] | None:
    """The C_out x C_in matrix of the 1x1 convolution with this label; zero between groups.

    None where the weights' file is missing.

    Raises:
        KeyError: no 1x1 convolution is called so.
    """
    sizes, graph = analysis.sizes, analysis.graph
    tensors = analysis.shapes.at(*(a.at_least(USUAL_SIDE) for a in (sizes.height, sizes.width)))
    point = {point.node.label: point for point in points(graph, analysis.weights, tensors)}[node]
    blocks = point.blocks(graph)
    return None if blocks is None else _block_diagonal(blocks)


def _measured(graph: Graph, point: Point, tensors: Tensors, size: tuple[int, int]) -> Mixing:
    made = point.node.made[0]
    before, after = (tensors[name].elements // graph.batch for name in (point.image, made))
    inputs, outputs = point.groups * point.inputs, point.groups * point.outputs
    blocks = point.blocks(graph)
    return Mixing(
        node=point.node.label,
        inputs=inputs,
        outputs=outputs,
        groups=point.groups,
        parameters=outputs * point.inputs,
        rank=None if blocks is None else sum(_rank(block) for block in blocks),
        full_rank=point.groups * min(point.inputs, point.outputs),
        off_diagonal=None if blocks is None else _off_diagonal(blocks),
        size=size,
        positions=after // outputs,
        macs=min(before // inputs, after // outputs) * outputs * point.inputs,
        fc_parameters=before * after,
        fc_macs=before * after,
    )


def _rank(matrix: NDArray[Any]) -> int:
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    roundoff = _ROUNDOFF.get(matrix.dtype.name, _FLOAT32)
    return int((values > roundoff * sqrt(min(matrix.shape)) * values[0]).sum())


def _off_diagonal(blocks: NDArray[Any]) -> float | None:
    squares = blocks.astype(np.float64) ** 2
    total = float(squares.sum())
    if blocks.shape[1] != blocks.shape[2] or not total:
        return None
    return max(0.0, 1 - float(np.trace(squares, axis1=1, axis2=2).sum()) / total)


def _block_diagonal(blocks: NDArray[Any]) -> NDArray[Any]:
    groups, outputs, inputs = blocks.shape
    matrix = np.zeros((groups, outputs, groups, inputs), blocks.dtype)
    matrix[range(groups), :, range(groups), :] = blocks
    return matrix.reshape(groups * outputs, groups * inputs)
