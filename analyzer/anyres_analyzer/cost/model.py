"""What one size costs: multiply-adds and peak activation memory, counted on the walked shapes.

A MAC is one multiply-add of a convolution or matrix product; nothing else counts. The peak is
liveness over the node order: a tensor lives from the node that makes it to the last that reads it,
the image and the outputs for the whole run; an elementwise operator whose input dies there writes
in place, as ONNX Runtime does. Weights are not activations.

Example: a 3x3 convolution from 3 to 8 channels on 10x10 pixels is 10 * 10 * 8 * 3 * 9 = 21600 MACs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors
from anyres_analyzer.shapes.walk import ShapeWalk

_IN_PLACE = frozenset(
    "Add BatchNormalization Clip Div Elu HardSigmoid HardSwish Identity LeakyRelu Mul Relu Reshape "
    "Flatten Squeeze Unsqueeze Sigmoid Sub Tanh Dropout Cast Softmax".split()
)


@dataclass(frozen=True)
class Cost:
    """One size: MACs, peak bytes of activations, the node where they peak, the output's shape."""

    macs: int
    activation_bytes: int
    peak_node: str
    output_shape: tuple[int, ...]


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
    peak, where = _peak(graph, tensors)
    return Cost(
        macs=sum(macs(node, tensors) for node in graph.nodes),
        activation_bytes=peak,
        peak_node=where,
        output_shape=tensors[graph.outputs[0].name].shape,
    )


def macs(node: Node, tensors: Tensors) -> int:
    """The multiply-adds of one node; 0 for an operator that multiplies no matrices."""
    rule = MACS.get(node.op_type)
    return rule(node, tensors) if rule else 0


def _conv(node: Node, tensors: Tensors) -> int:
    """N * Co * Ho * Wo outputs, each a sum over (Ci / groups) * kh * kw."""
    return tensors[node.outputs[0]].elements * prod(tensors[node.inputs[1]].shape[1:])


def _conv_transpose(node: Node, tensors: Tensors) -> int:
    """N * Ci * Hi * Wi inputs, each painted into (Co / groups) * kh * kw."""
    return tensors[node.inputs[0]].elements * prod(tensors[node.inputs[1]].shape[1:])


def _gemm(node: Node, tensors: Tensors) -> int:
    inner = tensors[node.inputs[0]].shape[0 if node.attributes.get("transA", 0) else 1]
    return tensors[node.outputs[0]].elements * inner


def _matmul(node: Node, tensors: Tensors) -> int:
    return tensors[node.outputs[0]].elements * tensors[node.inputs[0]].shape[-1]


MACS: dict[str, Callable[[Node, Tensors], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _peak(graph: Graph, tensors: Tensors) -> tuple[int, str]:
    alive = {graph.image.name: tensors[graph.image.name].bytes}
    peak, where = sum(alive.values()), f"input '{graph.image.name}'"
    for index, node in enumerate(graph.nodes):
        if all(name in graph.origins for name in node.made):
            continue  # made of weights alone, once
        inherited = _inherited(graph, index, node, tensors, alive)
        made = {name: tensors[name].bytes for name in node.outputs if name}
        during = sum(alive.values()) + sum(made.values()) - inherited
        if during > peak:
            peak, where = during, node.label
        alive |= made
        for name in dict.fromkeys((*node.inputs, *node.outputs)):
            dies = name in alive and graph.last_use.get(name, index) <= index
            if dies and name != graph.image.name:
                del alive[name]
    return peak, where


def _inherited(
    graph: Graph, index: int, node: Node, tensors: Tensors, alive: Mapping[str, int]
) -> int:
    """The bytes of the input buffer that an in-place operator writes its output into."""
    if node.op_type not in _IN_PLACE:
        return 0
    output: Tensor = tensors[node.outputs[0]]
    for name in node.inputs:
        dies = name in alive and graph.last_use.get(name) == index and name != graph.image.name
        if dies and tensors[name].bytes == output.bytes:
            return output.bytes
    return 0
