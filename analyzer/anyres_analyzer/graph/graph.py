"""An ONNX graph as plain values: nodes in order, constants, one image in.

Protobuf stops here. Weights are kept by shape and type alone; only constants small enough to steer
the graph (pads, scales, axes, shapes) keep their values, so a model of hundreds of megabytes
costs little to analyse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from anyres_analyzer.errors import NotAModel, UnsupportedGraph

STEERING_ELEMENTS = 1024  # constants up to this many elements keep their values
RGB = 3
PIXEL_CHANNELS = (1, RGB, 4)
CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})


@dataclass(frozen=True)
class Constant:
    """An initializer: its shape, ONNX element type, and its value where it is small."""

    shape: tuple[int, ...]
    elem_type: int
    value: NDArray[Any] | None = None


@dataclass(frozen=True)
class Node:
    """One operator call. `label` is how messages name it: 'name' (OpType)."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: onnx.NodeProto = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """The node as a reader finds it in a viewer."""
        return f"'{self.name or next(iter(self.made), '?')}' ({self.op_type})"

    @cached_property
    def made(self) -> tuple[str, ...]:
        """The outputs that it really makes: an optional one that nobody wants has no name."""
        return tuple(name for name in self.outputs if name)


@dataclass(frozen=True)
class Value:
    """A graph input or output: declared dims are an int where static, a name or None where not."""

    name: str
    elem_type: int
    dims: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Graph:
    """A graph with one image input (n, c, h, w)."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    image: Value
    outputs: tuple[Value, ...]
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.opsets[""]

    def opset_of(self, node: Node) -> int:
        """The version of the operators of this node's domain; 1 where the file does not say."""
        return self.opsets.get(_domain(node.proto.domain), 1)

    @property
    def batch(self) -> int:
        """The declared number of images, 1 where it is open."""
        declared = self.image.dims[0]
        return declared if isinstance(declared, int) else 1

    @cached_property
    def channels(self) -> int:
        """The declared number of channels, or what the first convolution takes."""
        declared = self.image.dims[1]
        if isinstance(declared, int):
            return declared
        for node in self.nodes:
            if node.op_type == "Conv" and node.inputs[1] in self.constants:
                shape = self.constants[node.inputs[1]].shape
                return shape[1] * int(node.attributes.get("group", 1))
        return RGB

    @cached_property
    def last_use(self) -> dict[str, int]:
        """For each tensor the index of the last node that reads it; outputs live to the end."""
        uses = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        return uses | {output.name: len(self.nodes) for output in self.outputs}

    @cached_property
    def origins(self) -> dict[str, frozenset[str]]:
        """For each tensor that follows from constants alone, the constants that it is made of."""
        found = {name: frozenset({name}) for name in self.constants}
        for node in self.nodes:
            given = [name for name in node.inputs if name]
            if given and all(name in found for name in given):
                made_of = frozenset().union(*(found[name] for name in given))
                found.update(dict.fromkeys(node.made, made_of))
        return found


def load(source: Path | str | onnx.ModelProto) -> Graph:
    """The graph of an ONNX file or model.

    Raises:
        NotAModel: the file cannot be read as ONNX, or its nodes are in no order that runs.
        UnsupportedGraph: it has no single 4-dimensional image input, or control flow.
    """
    model = source if isinstance(source, onnx.ModelProto) else _read(Path(source))
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    constants = _constants(model.graph)
    nodes = tuple(_node(proto) for proto in model.graph.node if not _is_constant(proto))
    opsets = {_domain(o.domain): o.version for o in model.opset_import}
    if "" not in opsets:
        raise UnsupportedGraph("the model imports no standard ONNX operator set")
    graph = Graph(
        nodes=nodes,
        constants=constants,
        image=_image([info for info in model.graph.input if info.name not in constants]),
        outputs=tuple(_value(info) for info in model.graph.output),
        opsets=opsets,
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )
    _refuse_what_cannot_run(graph)
    return graph


def _read(path: Path) -> onnx.ModelProto:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotAModel(f"{path}: {error.strerror or error}") from error
    if not content:
        raise NotAModel(f"{path} is not an ONNX model: it is empty")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise NotAModel(
            f"{path} is not an ONNX model: it is truncated or something else"
        ) from error
    if not model.graph.output:
        raise NotAModel(f"{path} is not an ONNX model: it holds no graph")
    return model


def _image(inputs: list[onnx.ValueInfoProto]) -> Value:
    if len(inputs) != 1:
        names = ", ".join(info.name for info in inputs) or "none"
        raise UnsupportedGraph(f"the graph needs exactly one input, an image; it has: {names}")
    image = _value(inputs[0])
    if not inputs[0].type.tensor_type.HasField("shape"):
        raise UnsupportedGraph(f"input '{image.name}' is no tensor of a declared rank")
    if len(image.dims) != 4:
        raise UnsupportedGraph(
            f"input '{image.name}' has {len(image.dims)} dimensions; an image has 4: (n, c, h, w)"
        )
    if image.dims[3] in PIXEL_CHANNELS and image.dims[1] not in PIXEL_CHANNELS:
        raise UnsupportedGraph(
            f"input '{image.name}' is (n, h, w, c) with {image.dims[3]} channels last; "
            "expected (n, c, h, w)"
        )
    return image


def _refuse_what_cannot_run(graph: Graph) -> None:
    made = {graph.image.name, *graph.constants, ""}
    for node in graph.nodes:
        if node.op_type in CONTROL_FLOW:
            raise UnsupportedGraph(f"node {node.label}: control flow is not analysed")
        missing = next((name for name in node.inputs if name not in made), None)
        if missing is not None:
            raise NotAModel(f"node {node.label} reads '{missing}', which nothing before it makes")
        made.update(node.outputs)
    for output in graph.outputs:
        if output.name not in made:
            raise NotAModel(f"the graph's output '{output.name}' is made by no node")


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    dims = tuple(
        dim.dim_value if dim.dim_value > 0 else (dim.dim_param or None) for dim in tensor.shape.dim
    )
    return Value(info.name, tensor.elem_type, dims)


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _is_constant(proto: onnx.NodeProto) -> bool:
    """A Constant node that holds a dense tensor, as an initializer does."""
    return proto.op_type == "Constant" and any(a.name == "value" for a in proto.attribute)


def _constants(graph: onnx.GraphProto) -> dict[str, Constant]:
    found = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    found |= {
        sparse.values.name: Constant(tuple(sparse.dims), sparse.values.data_type)
        for sparse in graph.sparse_initializer
    }
    for node in filter(_is_constant, graph.node):
        tensor = next(a.t for a in node.attribute if a.name == "value")
        found[node.output[0]] = _constant(tensor)
    return found


def _constant(tensor: onnx.TensorProto) -> Constant:
    shape = tuple(tensor.dims)
    small = prod(shape) <= STEERING_ELEMENTS
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    value = numpy_helper.to_array(tensor) if small and not external else None
    return Constant(shape, tensor.data_type, value)


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    return Node(
        proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes, proto
    )
