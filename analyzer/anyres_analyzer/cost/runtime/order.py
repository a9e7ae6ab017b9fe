"""The order in which ONNX Runtime runs a graph: not the file's.

It goes back from the outputs, depth first, and of what a node reads it first makes ready whatever
was put into the graph last. Its optimizers go through the graph in the same order and put in new
nodes as they go, so the order of their work decides that of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anyres_analyzer.graph.graph import Graph, Node


def depth_first(sources: Sequence[Sequence[int]]) -> list[int]:
    """Every index after its sources, of which the last is first made ready."""
    read = {source for given in sources for source in given}
    stack = [(index, False) for index in range(len(sources)) if index not in read]
    seen: set[int] = set()
    order: list[int] = []
    while stack:
        index, done = stack.pop()
        if done:
            order.append(index)
        elif index not in seen:
            seen.add(index)
            stack.append((index, True))
            stack.extend((source, False) for source in sources[index] if source not in seen)
    return order


def as_visited(graph: Graph) -> list[Node]:
    """The nodes in the order in which the optimizers come by."""
    makers = {name: index for index, node in enumerate(graph.nodes) for name in node.made}
    sources = [sorted(_makers(node.inputs, makers)) for node in graph.nodes]
    return [graph.nodes[index] for index in depth_first(sources)]


def _makers(names: Sequence[str], makers: Mapping[str, int]) -> set[int]:
    return {makers[name] for name in names if name in makers}
