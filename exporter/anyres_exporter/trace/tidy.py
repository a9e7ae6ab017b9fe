"""What torch writes into a graph that is not the model, taken out of it.

torch's exporter notes where it was called from: paths of this machine in stack traces, its own
nodes, names that it numbered (s53). None of it is a function of the model's definition and
weights, so two exports of one model would be two different files. What stays is the name of the
module that a node comes from, by which a wrong node is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

SCOPES = "pkg.torch.onnx.name_scopes"  # the modules around a node, outermost first
_AXES = {0: "batch", 2: "height", 3: "width"}
_SYMBOL = re.compile(r"[A-Za-z_]\w*")  # in a sum like ((s53 - 1)//2) + 1


def tidy(graph: ModelProto) -> None:
    """Leave nothing in a graph, in place, but the model and the modules that its nodes come from.

    An image's open axes are called batch, height and width, and every shape in the graph is stated
    in these words. They are kept because ONNX Runtime reads off them which tensors are of one
    size, and fuses more where it knows: a MobileNetV3 runs as 114 nodes with them, 134 without.
    """
    graph.producer_name, graph.producer_version = "anyres", version("anyres")
    graph.doc_string = ""
    del graph.metadata_props[:]
    for function in graph.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        del function.value_info[:]
        _tidy_nodes(function.node)
    for inner in _graphs(graph.graph):
        _tidy_graph(inner)
    _name_axes(graph.graph)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and the bodies of its branches and loops, and theirs."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _tidy_graph(graph: GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    _tidy_nodes(graph.node)


def _tidy_nodes(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        node.doc_string = ""
        scopes = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        for value in scopes:
            node.metadata_props.add(key=SCOPES, value=value)
        for attribute in node.attribute:
            attribute.doc_string = ""


def _name_axes(graph: GraphProto) -> None:
    words: dict[str, str] = {}
    for value in graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                words.setdefault(dim.dim_param, _AXES.get(axis, f"{value.name}_{axis}"))
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _SYMBOL.sub(
                    lambda found: words.get(found[0], found[0]), dim.dim_param
                )
