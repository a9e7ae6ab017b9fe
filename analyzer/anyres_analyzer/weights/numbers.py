"""The numbers of one weight, read and computed when they are asked for, and kept by nobody.

A weight is a constant of the file, or what nodes make of constants alone: a transposed one, or int8
numbers behind a DequantizeLinear. Those few nodes are run by ONNX's reference evaluator.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from anyres_analyzer.errors import NotAModel
from anyres_analyzer.graph.evaluation import evaluated
from anyres_analyzer.graph.graph import Graph, Node


def numbers(graph: Graph, name: str) -> NDArray[Any] | None:
    """A fresh array of what a tensor holds; None where the file that it lies in is missing.

    Raises:
        KeyError: the tensor depends on the image.
        NotAModel: what is stored does not fill the tensor's shape, or cannot be computed with.
    """
    needed = graph.origins[name]
    stored = {origin: graph.constants[origin].stored for origin in needed}
    read: dict[str, NDArray[Any]] = {
        origin: place.read() for origin, place in stored.items() if place is not None
    }
    if len(read) < len(needed):
        return None
    if name in read:
        return read[name]
    try:
        for node in _makers(graph, name):
            read |= evaluated(node.proto, graph.opset_of(node), read)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        raise NotAModel(f"weight '{name}' cannot be computed: {error}") from error
    return read[name]


def _makers(graph: Graph, name: str) -> list[Node]:
    """The nodes that make a tensor out of constants, in order."""
    wanted, makers = {name}, []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.made):
            makers.append(node)
            wanted.update(node.inputs)
    return makers[::-1]
