"""What every tensor's shape is at one concrete input size, or the node where that size stops.

The walk is concrete: one size in, every shape out, by ONNX's own inference rule of each operator
(`shape_rule`). Tensors that steer the graph (a `Shape`, and all arithmetic on it) are computed as
values, so a graph that pads to a multiple or crops to its input is followed exactly.

A contract tries many sizes, and deep maps repeat their shapes, so what an operator makes of its
inputs is remembered, and shared between nodes that differ only in their names.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.operator import Impossible, Operator, Outputs, known
from anyres_analyzer.shapes.tensor import Tensor, Tensors

_REMEMBERED = 20_000  # answers; a server asks for many sizes

_Signature = tuple[Hashable, ...]


class ShapeWalk:
    """Walks one graph at many sizes; remembers what each operator made of its inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants = {
            name: Tensor(c.shape, c.elem_type, c.value) for name, c in graph.constants.items()
        }
        distinct: dict[Operator, Operator] = {}
        operators = (Operator(node, graph.opset_of(node)) for node in graph.nodes)
        self._operators = [distinct.setdefault(operator, operator) for operator in operators]
        self._answers: dict[_Signature, Outputs | Impossible] = {}

    def at(self, height: int, width: int, batch: int | None = None) -> dict[str, Tensor]:
        """Every tensor of the graph for a batch of images of this size.

        `batch` is the declared one where it is not given, or else 1.

        Raises:
            Inadmissible: this size does not go through; names the node and why.
            UnsupportedGraph: an operator that ONNX has no rule for.
        """
        tensors, refusal = self._walk(height, width, batch)
        if refusal:
            raise refusal
        return tensors

    def reached(self, height: int, width: int) -> dict[str, Tensor]:
        """The tensors up to the node that stops this size; all of them where none does."""
        return self._walk(height, width, None)[0]

    def _walk(
        self, height: int, width: int, batch: int | None
    ) -> tuple[dict[str, Tensor], Inadmissible | None]:
        image = self._graph.image
        graph = self._graph
        shape = graph.layout.shape(batch or graph.batch, graph.channels, height, width)
        tensors = self._constants | {image.name: Tensor(shape, image.elem_type)}
        for node, operator in zip(self._graph.nodes, self._operators, strict=True):
            outputs = self._outputs(node, operator, tensors)
            if isinstance(outputs, Impossible):
                return tensors, Inadmissible(node.label, outputs.reason, certain=outputs.certain)
            tensors.update(zip(node.made, outputs, strict=True))
        return tensors, None

    def _outputs(self, node: Node, operator: Operator, tensors: Tensors) -> Outputs | Impossible:
        inputs = [tensors[name] if name else None for name in node.inputs]
        if node.op_type in _MEASURES:
            return (_MEASURES[node.op_type](node, inputs[0]),)
        signature = (id(operator), *(tensor.signature if tensor else None for tensor in inputs))
        answer = self._answers.get(signature)
        if answer is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            answer = self._answers[signature] = operator.apply(inputs, node)
        return answer


def _shape(node: Node, tensor: Tensor | None) -> Tensor:
    dims = tensor.shape if tensor else ()
    part = dims[node.attributes.get("start", 0) : node.attributes.get("end", len(dims))]
    return known(np.array(part, np.int64))


def _size(node: Node, tensor: Tensor | None) -> Tensor:
    return known(np.array(tensor.elements if tensor else 0, np.int64))


# What is known of a tensor's shape although its pixels are not.
_MEASURES = {"Shape": _shape, "Size": _size}
