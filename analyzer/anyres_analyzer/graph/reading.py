"""Reads an ONNX file or model into a `Graph`. Protobuf stops here.

What no runtime could run is `NotAModel`, what is outside the analyzer's claims `UnsupportedGraph`;
both name the node or tensor. What is odd and harmless is a remark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

from anyres_analyzer.errors import NotAModel, UnsupportedGraph
from anyres_analyzer.graph.graph import STEERING_ELEMENTS, Constant, Graph, Node
from anyres_analyzer.graph.image import image_among, layout_of
from anyres_analyzer.graph.image import value as value_of
from anyres_analyzer.graph.order import in_order
from anyres_analyzer.graph.skim import Skimmed, Span, skimmed
from anyres_analyzer.graph.soundness import STANDARD_DOMAINS, NodeCheck, is_text, refuse_opset
from anyres_analyzer.graph.stored import Apart, Filled, Folder, Inline, Sparse, Stored


def load(source: Path | str | onnx.ModelProto) -> Graph:
    """The graph of an ONNX file or model. Weights stay where they lie, external data too.

    A `ModelProto` has no folder, so its external data, if it has any, is not read.

    Raises:
        NotAModel: it cannot be read as ONNX, or no runtime could run it.
        OutsideFolder: it names a file outside its own folder.
        UnsupportedGraph: it has no single 4-dimensional image input, control flow, sequences.
    """
    if isinstance(source, onnx.ModelProto):
        return _graph(Skimmed(source), None)
    path = Path(source)
    return _graph(skimmed(path), path)


def _graph(skim: Skimmed, path: Path | None) -> Graph:
    if not skim.model.graph.output:
        raise NotAModel(f"{path or 'this'} is not an ONNX model: it holds no graph")
    if not is_text(skim.model):
        raise NotAModel(f"{path or 'this'} is not an ONNX model: a name in it is no text")
    model = _inlined(skim.model)
    opsets = _opsets(model)
    tensors = _Tensors(path, skim.spans)
    constants = tensors.constants(model.graph)
    image = image_among([info for info in model.graph.input if info.name not in constants])
    listed = _nodes(model)
    ordered = in_order(listed, {image.name, *constants})
    constants |= dict(_filled(ordered, constants))
    nodes = tuple(node for node in ordered if constants.keys().isdisjoint(node.made))
    graph = Graph(
        nodes=nodes,
        constants=constants,
        image=image,
        outputs=tuple(value_of(info) for info in model.graph.output),
        opsets=opsets,
        metadata={entry.key: entry.value for entry in model.metadata_props},
        layout=layout_of(image, nodes),
        remarks=(*tensors.remarks, *_remarks(model.graph.node, listed, ordered)),
    )
    _refuse_outputs(graph)
    return graph


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its local functions written out."""
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as error:
        raise NotAModel(f"the model's local functions cannot be inlined: {error}") from error


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    opsets = {_domain(entry.domain): entry.version for entry in model.opset_import}
    if "" not in opsets:
        raise UnsupportedGraph("the model imports no standard ONNX operator set")
    refuse_opset(opsets[""])
    return opsets


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


class _Tensors:
    """Makes constants of a model's tensors, wherever their numbers lie."""

    def __init__(self, path: Path | None, spans: Mapping[str, Span]) -> None:
        self._path = path
        self._folder = Folder(path.parent) if path else None
        self._spans = spans

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is missing."""
        missing = self._folder.missing if self._folder else ()
        return tuple(
            f"external data '{name}' is missing: weights in it are known by shape alone"
            for name in missing
        )

    def constants(self, graph: onnx.GraphProto) -> dict[str, Constant]:
        """By name: initializers, and Constant nodes that hold a tensor as an initializer does."""
        found: dict[str, Constant] = {}
        for name, tensor in _named_tensors(graph):
            if not name or name in found:
                raise NotAModel(
                    f"two constants are named '{name}'" if name else "a nameless constant"
                )
            found[name] = self._constant(tensor)
        return found

    def _constant(self, tensor: TensorProto | SparseTensorProto) -> Constant:
        dense = tensor if isinstance(tensor, TensorProto) else tensor.values
        shape = _shape(tensor, dense)
        stored = self._stored(tensor, shape)
        small = prod(shape) <= STEERING_ELEMENTS and stored is not None
        return Constant(shape, dense.data_type, stored.read() if small and stored else None, stored)

    def _stored(
        self, tensor: TensorProto | SparseTensorProto, shape: tuple[int, ...]
    ) -> Stored | None:
        if not isinstance(tensor, TensorProto):
            return Sparse(tensor)
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._folder.stored(tensor) if self._folder else None
        span = self._spans.get(tensor.name)
        if span is None or self._path is None:
            return Inline(tensor)
        length = span.end - span.begin
        return Apart(self._path, span.begin, length, shape, tensor.data_type, tensor.name)


def _named_tensors(
    graph: onnx.GraphProto,
) -> Iterator[tuple[str, TensorProto | SparseTensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, sparse
    for node in graph.node:
        held = _held(node)
        if held is not None and node.output:
            yield node.output[0], held


def _held(proto: onnx.NodeProto) -> TensorProto | SparseTensorProto | None:
    """The tensor of a Constant node; None for a Constant of plain numbers, and other nodes."""
    if proto.op_type != "Constant" or proto.domain not in STANDARD_DOMAINS:
        return None
    for attribute in proto.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name == "sparse_value":
            return attribute.sparse_tensor
    return None


def _shape(tensor: TensorProto | SparseTensorProto, dense: TensorProto) -> tuple[int, ...]:
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape) or prod(shape) > _MOST_ELEMENTS:
        raise NotAModel(f"tensor '{dense.name}' has an impossible shape: {list(shape)}")
    if dense.data_type not in _TYPES:
        raise NotAModel(f"tensor '{dense.name}' is of no type that ONNX knows: {dense.data_type}")
    return shape


_MOST_ELEMENTS = 1 << 48
_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}


def _nodes(model: onnx.ModelProto) -> tuple[Node, ...]:
    protos = [proto for proto in model.graph.node if _held(proto) is None]
    names = Counter(proto.name for proto in protos)
    check = NodeCheck(model)
    return tuple(_node(proto, check, unique=names[proto.name] == 1) for proto in protos)


def _node(listed: onnx.NodeProto, check: NodeCheck, *, unique: bool) -> Node:
    """A node of its own message, so that the model's can be freed; a name that is no name goes."""
    proto = onnx.NodeProto()
    proto.CopyFrom(listed)
    proto.domain = _domain(proto.domain)
    if not unique:
        proto.name = ""
    node = Node(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), {}, proto)
    check(proto, node.label)
    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    return replace(node, attributes=attributes)


def _filled(
    nodes: Sequence[Node], constants: Mapping[str, Constant]
) -> Iterator[tuple[str, Constant]]:
    """ConstantOfShape of a constant shape: a weight, where the real ones were taken out."""
    for node in nodes:
        shape = constants.get(node.inputs[0]) if node.op_type == "ConstantOfShape" else None
        if shape is None or shape.value is None:
            continue
        number = numpy_helper.to_array(node.attributes["value"]) if node.attributes else _ZERO
        stored = Filled(tuple(map(int, shape.value)), number.reshape(()))
        small = prod(stored.shape) <= STEERING_ELEMENTS
        elem_type = helper.np_dtype_to_tensor_dtype(number.dtype)
        yield (
            node.made[0],
            Constant(stored.shape, elem_type, stored.read() if small else None, stored),
        )


_ZERO = np.zeros((), np.float32)


def _remarks(
    protos: Sequence[onnx.NodeProto], listed: Sequence[Node], ordered: Sequence[Node]
) -> Iterator[str]:
    for name, count in Counter(proto.name for proto in protos).items():
        if name and count > 1:
            yield f"{count} nodes are named '{name}', which ONNX Runtime refuses"
    if any(a is not b for a, b in zip(listed, ordered, strict=True)):
        yield "the nodes were in no order that runs, and have been sorted"


def _refuse_outputs(graph: Graph) -> None:
    made = {graph.image.name, *graph.constants, *(n for node in graph.nodes for n in node.made)}
    for output in graph.outputs:
        if output.name not in made:
            raise NotAModel(f"the graph's output '{output.name}' is made by no node")
