"""What torch writes into a graph that is not the model, taken out of it.

torch's exporter notes where it was called from: paths of this machine in stack traces, its own
nodes, symbols that it numbered (s53). None of it is a function of the model's definition and
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


def tidy(graph: ModelProto) -> None:
    """Leave nothing in a graph, in place, but the model and the modules that its nodes come from.

    Open axes of a 4-dimensional input are called batch, height and width, those of an output as
    the input's where they are the same, else by the output's name. The shapes of what lies between
    are left to shape inference.
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
    del graph.value_info[:]
    graph.doc_string = ""
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output):
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
                name = _AXES.get(axis, f"{value.name}_{axis}")
                dim.dim_param = words.setdefault(dim.dim_param, name)
    for value in graph.output:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                own = f"{_identifier(value.name)}_{_AXES.get(axis, axis)}"
                dim.dim_param = words.setdefault(dim.dim_param, own)


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)
