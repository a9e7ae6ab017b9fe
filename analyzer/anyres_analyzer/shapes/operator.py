"""One operator on given inputs: the shapes and steering values that come out, or why none do.

Inputs whose values are all known are computed by ONNX's reference evaluator; for the others the
operator's own inference rule says the shapes. On top of ONNX's rules stand the checks of
`preconditions`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import checker, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from anyres_analyzer.errors import UnsupportedGraph
from anyres_analyzer.graph.evaluation import evaluator
from anyres_analyzer.graph.graph import STEERING_ELEMENTS, Node
from anyres_analyzer.graph.window import window_of
from anyres_analyzer.shapes.preconditions import why_impossible
from anyres_analyzer.shapes.tensor import Tensor

Outputs: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True)
class Impossible:
    """Why these inputs do not go through; `certain` where every runtime says so."""

    reason: str
    certain: bool = True


class Operator:
    """An operator with its attributes; equal for nodes that differ only in their names."""

    def __init__(self, node: Node, opset: int) -> None:
        self._node = node
        self._opset = opset
        self._proto = onnx.NodeProto()
        self._proto.CopyFrom(node.proto)
        self._proto.name = self._proto.doc_string = ""
        self._proto.input[:] = [f"i{i}" if name else "" for i, name in enumerate(node.inputs)]
        self._proto.output[:] = [f"o{i}" if name else "" for i, name in enumerate(node.outputs)]
        self._identity = (opset, self._proto.SerializeToString(deterministic=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operator) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def apply(self, inputs: Sequence[Tensor | None], node: Node) -> Outputs | Impossible:
        """What comes out, in the order of the node's outputs; `node` is named in errors."""
        given = [tensor for tensor in inputs if tensor is not None]
        if all(tensor.value is not None for tensor in given):
            return self._evaluated(given)
        reason = why_impossible(node, inputs)
        outputs = _impossible(node, reason) if reason else self._inferred(inputs, node)
        if isinstance(outputs, Impossible):
            return outputs
        empty = next((t for t in outputs if min(t.shape, default=1) < 1), None)
        return Impossible(f"its output would be empty: {empty.shape}") if empty else outputs

    @cached_property
    def _evaluator(self) -> ReferenceEvaluator:
        return evaluator(self._proto, self._opset)

    @property
    def _import(self) -> onnx.OperatorSetIdProto:
        return helper.make_opsetid(self._proto.domain, self._opset)

    def _evaluated(self, inputs: Sequence[Tensor]) -> Outputs | Impossible:
        names = [name for name in self._proto.input if name]
        feeds = {name: tensor.value for name, tensor in zip(names, inputs, strict=True)}
        try:
            values = self._evaluator.run(None, feeds)
        except (ValueError, RuntimeError, IndexError, TypeError, MemoryError) as error:
            return Impossible(_first_line(error))
        return tuple(known(np.asarray(value)) for value in values)

    def _inferred(self, inputs: Sequence[Tensor | None], node: Node) -> Outputs | Impossible:
        below, own_rule = OWN_RULES.get(node.op_type, (0, None))
        if own_rule is not None and self._opset < below:
            return own_rule(node, [tensor for tensor in inputs if tensor is not None])
        if node.attributes.get("output_shape"):
            return _painted_to_a_shape(node, inputs)
        schema = self._schema
        given = {f"i{i}": tensor for i, tensor in enumerate(inputs) if tensor is not None}
        if node.op_type in _CELL_BY_CELL and len({tensor.shape for tensor in given.values()}) == 1:
            return (replace(given["i0"], value=None),)
        types = {name: tensor.type_proto for name, tensor in given.items()}
        data = {
            name: numpy_helper.from_array(tensor.value, name)
            for name, tensor in given.items()
            if tensor.value is not None and tensor.may_steer
        }
        try:
            inferred = shape_inference.infer_node_outputs(
                schema, self._proto, types, data, opset_imports=[self._import]
            )
        except (shape_inference.InferenceError, checker.ValidationError, ValueError) as error:
            return Impossible(_first_line(error))
        names = [name for name in self._proto.output if name]
        outputs = tuple(_tensor(node, inferred.get(name)) for name in names)
        image = inputs[0]
        if image is None or not node.attributes.get("ceil_mode", 0):
            return outputs
        return tuple(_without_late_windows(node, image, output) for output in outputs)

    @cached_property
    def _schema(self) -> defs.OpSchema:
        node = self._node
        try:
            return defs.get_schema(node.op_type, self._opset, node.proto.domain)
        except defs.SchemaError as error:
            domain = node.proto.domain or "ai.onnx"
            raise UnsupportedGraph(
                f"node {node.label}: ONNX {onnx.__version__} knows no operator {node.op_type} of "
                f"domain '{domain}' at opset {self._opset}"
            ) from error


def _impossible(node: Node, reason: str) -> Impossible:
    """PyTorch refuses a pool's window that is larger than the map; ONNX Runtime may cut it."""
    return Impossible(reason, certain=not node.op_type.endswith("Pool"))


def known(value: NDArray[Any]) -> Tensor:
    """A tensor with its value, where that is small enough to steer anything."""
    elem_type = helper.np_dtype_to_tensor_dtype(value.dtype)
    return Tensor(value.shape, elem_type, value if value.size <= STEERING_ELEMENTS else None)


def _tensor(node: Node, proto: onnx.TypeProto | None) -> Tensor:
    if proto is None or not proto.tensor_type.HasField("shape"):
        raise UnsupportedGraph(f"node {node.label}: ONNX has no rule for the shape of its output")
    dims = proto.tensor_type.shape.dim
    if not all(d.HasField("dim_value") for d in dims):
        raise UnsupportedGraph(
            f"node {node.label}: its output's shape does not follow from the image's size alone; "
            "it depends on pixels, or on a constant that lies in external data"
        )
    return Tensor(tuple(d.dim_value for d in dims), proto.tensor_type.elem_type)


def _painted_to_a_shape(node: Node, inputs: Sequence[Tensor | None]) -> Outputs:
    """ConvTranspose with `output_shape`, of which ONNX infers a shape of lower rank."""
    image, weight = inputs[0], inputs[1]
    assert image is not None, "a required input that ONNX's checker guarantees"
    assert weight is not None, "likewise"
    channels = weight.shape[1] * node.attributes.get("group", 1)
    sides = tuple(node.attributes["output_shape"])[-(len(image.shape) - 2) :]
    return (Tensor((image.shape[0], channels, *sides), image.elem_type),)


def _without_late_windows(node: Node, image: Tensor, output: Tensor) -> Tensor:
    """A pool that rounds up has no window that begins in the padding at the end.

    Runtimes and PyTorch agree on that; ONNX's rule of before opset 22 counts such a window.
    """
    sizes = list(output.shape)
    for axis, pixels in enumerate(image.shape[2:]):
        window = window_of(node, axis)
        begins = (sizes[2 + axis] - 1) * window.stride
        if not window.same and begins >= pixels + window.pad_before:
            sizes[2 + axis] -= 1
    return replace(output, shape=tuple(sizes))


def _first_line(error: Exception) -> str:
    text = re.sub(r"^\[\w+\] ", "", str(error).strip()).splitlines()  # without its class
    return text[0] if text else type(error).__name__


def _like_its_input(node: Node, inputs: Sequence[Tensor]) -> Outputs:
    return (Tensor(inputs[0].shape, inputs[0].elem_type),)


def _map_and_statistics(node: Node, inputs: Sequence[Tensor]) -> Outputs:
    """BatchNormalization in training: the map, then statistics shaped like its scale."""
    image, scale, *_ = inputs
    statistics = Tensor(scale.shape, scale.elem_type)
    return (Tensor(image.shape, image.elem_type), *[statistics] * (len(node.made) - 1))


def _cut(node: Node, inputs: Sequence[Tensor]) -> Outputs:
    """Slice of before opset 10: constant starts and ends, one for each of the axes."""
    shape, bounds = list(inputs[0].shape), node.attributes
    axes = bounds.get("axes", range(len(bounds["starts"])))
    for axis, start, end in zip(axes, bounds["starts"], bounds["ends"], strict=True):
        shape[axis] = len(range(*slice(start, end).indices(shape[axis])))
    return (Tensor(tuple(shape), inputs[0].elem_type),)


def _map_and_mask(node: Node, inputs: Sequence[Tensor]) -> Outputs:
    """Dropout, whose mask some opsets leave without a shape."""
    image = inputs[0]
    outputs = [image.elem_type, onnx.TensorProto.BOOL][: len(node.made)]
    return tuple(Tensor(image.shape, elem_type) for elem_type in outputs)


# Of maps of one shape these make another: most nodes, and ONNX need not be asked.
_CELL_BY_CELL = frozenset(
    "Add Clip Div Elu Gelu HardSigmoid HardSwish LeakyRelu Mul PRelu Relu Sigmoid Sub Tanh".split()
)
_EVERY = 1000
# What ONNX has no shape rule for at opsets below the one given.
OWN_RULES: Mapping[str, tuple[int, Callable[[Node, Sequence[Tensor]], Outputs]]] = {
    "BatchNormalization": (14, _map_and_statistics),
    "Dropout": (_EVERY, _map_and_mask),
    "GroupNormalization": (_EVERY, _like_its_input),
    "MeanVarianceNormalization": (_EVERY, _like_its_input),
    "Slice": (10, _cut),
}
