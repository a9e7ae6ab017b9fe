"""What every tensor's shape is at one concrete input size, or the node where that size stops.

The walk is concrete: one size in, every shape out, by ONNX's own inference rule of each operator.
Tensors that steer the graph (a `Shape`, and all arithmetic on it) are computed as values, so a
graph that pads to a multiple or crops to its input is followed exactly. On top of ONNX's rules
stand the checks of `preconditions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from anyres_analyzer.errors import Inadmissible, UnsupportedGraph
from anyres_analyzer.graph import STEERING_ELEMENTS, Graph, Node
from anyres_analyzer.preconditions import refuse_impossible
from anyres_analyzer.tensor import Tensor, Tensors


class ShapeWalk:
    """Walks one graph at many sizes; keeps each node's schema and evaluator between walks."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants = {
            name: Tensor(c.shape, c.elem_type, c.value) for name, c in graph.constants.items()
        }
        self._evaluators: dict[int, ReferenceEvaluator] = {}
        self._opset = [helper.make_opsetid("", graph.opset)]

    def at(self, height: int, width: int, batch: int = 1) -> dict[str, Tensor]:
        """Every tensor of the graph when the image is (batch, c, height, width).

        Raises:
            Inadmissible: this size does not go through; names the node and why.
            UnsupportedGraph: an operator that ONNX has no rule for.
        """
        image = self._graph.image
        channels = image.dims[1] if isinstance(image.dims[1], int) else 3
        tensors = dict(self._constants)
        tensors[image.name] = Tensor((batch, channels, height, width), image.elem_type)
        for index, node in enumerate(self._graph.nodes):
            tensors.update(self._step(index, node, tensors))
        return tensors

    def _step(self, index: int, node: Node, tensors: Tensors) -> dict[str, Tensor]:
        inputs = {name: tensors[name] for name in node.inputs if name}
        if node.op_type == "Shape":
            dims = inputs[node.inputs[0]].shape
            part = dims[node.attributes.get("start", 0) : node.attributes.get("end", len(dims))]
            return {node.outputs[0]: _known(np.array(part, np.int64))}
        if all(tensor.value is not None for tensor in inputs.values()):
            return self._evaluated(index, node, inputs)
        refuse_impossible(node, [tensors.get(name) for name in node.inputs])
        outputs = self._inferred(node, inputs)
        for tensor in outputs.values():
            if any(size < 1 for size in tensor.shape):
                raise Inadmissible(node.label, f"its output would be empty: {tensor.shape}")
        return outputs

    def _evaluated(self, index: int, node: Node, inputs: Tensors) -> dict[str, Tensor]:
        """A node whose inputs are all known is computed by ONNX's reference evaluator."""
        evaluator = self._evaluators.get(index)
        if evaluator is None:
            evaluator = ReferenceEvaluator(_single_node_model(node, inputs, self._opset))
            self._evaluators[index] = evaluator
        try:
            values = evaluator.run(None, {name: tensor.value for name, tensor in inputs.items()})
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            raise Inadmissible(node.label, _first_line(error)) from error
        known = [_known(np.asarray(value)) for value in values]
        return dict(zip([name for name in node.outputs if name], known, strict=True))

    def _inferred(self, node: Node, inputs: Tensors) -> dict[str, Tensor]:
        """The operator's own shape rule, as ONNX defines it."""
        try:
            schema = defs.get_schema(node.op_type, self._graph.opset, node.proto.domain)
        except defs.SchemaError as error:
            raise UnsupportedGraph(
                f"node {node.label}: ONNX has no operator {node.op_type} in domain "
                f"'{node.proto.domain or 'ai.onnx'}' at opset {self._graph.opset}"
            ) from error
        types = {name: _type(tensor) for name, tensor in inputs.items()}
        data = {
            name: numpy_helper.from_array(tensor.value, name)
            for name, tensor in inputs.items()
            if tensor.value is not None
        }
        try:
            inferred = shape_inference.infer_node_outputs(
                schema, node.proto, types, data, opset_imports=self._opset
            )
        except (shape_inference.InferenceError, ValueError) as error:
            raise Inadmissible(node.label, _first_line(error)) from error
        return {name: _tensor(node, proto) for name, proto in inferred.items() if name}


def _single_node_model(
    node: Node, inputs: Tensors, opset: list[onnx.OperatorSetIdProto]
) -> onnx.ModelProto:
    infos = [
        helper.make_tensor_value_info(name, tensor.elem_type, [None] * len(tensor.shape))
        for name, tensor in inputs.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = helper.make_graph([node.proto], "node", infos, outputs)
    return helper.make_model(graph, opset_imports=opset)


def _known(value: NDArray[Any]) -> Tensor:
    elem_type = helper.np_dtype_to_tensor_dtype(value.dtype)
    keep = value if value.size <= STEERING_ELEMENTS else None
    return Tensor(value.shape, elem_type, keep)


def _type(tensor: Tensor) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(tensor.elem_type, tensor.shape)


def _tensor(node: Node, proto: onnx.TypeProto) -> Tensor:
    dims = proto.tensor_type.shape.dim
    if not proto.tensor_type.HasField("shape") or not all(d.HasField("dim_value") for d in dims):
        raise UnsupportedGraph(
            f"node {node.label}: its output's shape depends on the pixels, not on the image's size"
        )
    return Tensor(tuple(d.dim_value for d in dims), proto.tensor_type.elem_type)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
