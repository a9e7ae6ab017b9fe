"""An ONNX graph as plain values: nodes in order, constants, one image in.

Protobuf stops here. Weights are kept by shape and type alone; only constants small enough to steer
the graph (pads, scales, axes, shapes) keep their values, so a model of hundreds of megabytes
costs little to analyse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from anyres_analyzer.errors import NotAModel, UnsupportedGraph

STEERING_ELEMENTS = 1024  # constants up to this many elements keep their values
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
        return f"'{self.name or self.outputs[0]}' ({self.op_type})"


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
    opset: int
    metadata: Mapping[str, str]

    @cached_property
    def last_use(self) -> dict[str, int]:
        """For each tensor the index of the last node that reads it; outputs live to the end."""
        uses = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        return uses | {output.name: len(self.nodes) for output in self.outputs}


def load(source: Path | str | onnx.ModelProto) -> Graph:
    """The graph of an ONNX file or model.

    Raises:
        NotAModel: the file cannot be read as ONNX.
        UnsupportedGraph: it has no single 4-dimensional image input, or control flow.
    """
    model = source if isinstance(source, onnx.ModelProto) else _read(Path(source))
    graph = model.graph
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    images = [_value(info) for info in graph.input if info.name not in constants]
    nodes = tuple(_node(proto) for proto in graph.node)
    _refuse_unsupported(images, nodes, model)
    return Graph(
        nodes=nodes,
        constants=constants,
        image=images[0],
        outputs=tuple(_value(info) for info in graph.output),
        opset=next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        metadata={entry.key: entry.value for entry in model.metadata_props},
    )


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise NotAModel(f"{path}: {error.strerror or error}") from error
    except DecodeError as error:
        raise NotAModel(
            f"{path} is not an ONNX model: it is truncated or something else"
        ) from error
    if not model.graph.node:
        raise NotAModel(f"{path} is not an ONNX model: it holds no graph")
    return model


def _refuse_unsupported(
    images: list[Value], nodes: tuple[Node, ...], model: onnx.ModelProto
) -> None:
    if len(images) != 1:
        names = ", ".join(image.name for image in images) or "none"
        raise UnsupportedGraph(f"the graph needs exactly one input, an image; it has: {names}")
    if len(images[0].dims) != 4:
        raise UnsupportedGraph(
            f"input '{images[0].name}' has {len(images[0].dims)} dimensions; "
            "an image has 4: (n, c, h, w)"
        )
    if not any(o.domain in ("", "ai.onnx") for o in model.opset_import):
        raise UnsupportedGraph("the model imports no standard ONNX operator set")
    for node in nodes:
        if node.op_type in CONTROL_FLOW:
            raise UnsupportedGraph(f"node {node.label}: control flow is not analysed")


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    dims = tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None)
        for dim in tensor.shape.dim
    )
    return Value(info.name, tensor.elem_type, dims)


def _constant(tensor: onnx.TensorProto) -> Constant:
    shape = tuple(tensor.dims)
    small = int(np.prod(shape, dtype=np.int64)) <= STEERING_ELEMENTS
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    value = numpy_helper.to_array(tensor) if small and not external else None
    return Constant(shape, tensor.data_type, value)


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    return Node(
        proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes, proto
    )
