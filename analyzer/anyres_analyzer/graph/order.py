"""The nodes of a graph in an order that runs, or the reason why there is none.

ONNX asks for nodes in such an order and runtimes sort them anyway, so nodes that are merely
unsorted are sorted here, each as early as it stood. What has no order has a cycle, or a tensor that
nothing makes, or one that is made twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from anyres_analyzer.errors import NotAModel
from anyres_analyzer.graph.graph import Node

_NAMED = 6  # nodes of a cycle that a message lists


def in_order(nodes: Sequence[Node], given: Iterable[str]) -> tuple[Node, ...]:
    """The nodes so that each reads what is `given` or what one before it makes.

    Raises:
        NotAModel: there is no such order; names the nodes.
    """
    makers = _makers(nodes, set(given))
    waits: list[set[int]] = []
    for node in nodes:
        for name in node.inputs:
            if name and name not in makers:
                raise NotAModel(f"node {node.label} reads '{name}', which nothing makes")
        waits.append({makers[name] for name in node.inputs if name and makers[name] != _GIVEN})
    if all(not waiting or max(waiting) < index for index, waiting in enumerate(waits)):
        return tuple(nodes)
    return tuple(nodes[index] for index in _sorted(nodes, waits))


_GIVEN = -1


def _makers(nodes: Sequence[Node], given: set[str]) -> dict[str, int]:
    """The index of the node that makes each tensor."""
    makers = dict.fromkeys(given, _GIVEN)
    for index, node in enumerate(nodes):
        for name in node.made:
            if name in makers:
                first = makers[name]
                other = "a constant or input" if first == _GIVEN else f"node {nodes[first].label}"
                raise NotAModel(f"'{name}' is made twice: by {other} and by node {node.label}")
            makers[name] = index
    return makers


def _sorted(nodes: Sequence[Node], waits: Sequence[set[int]]) -> list[int]:
    left = [len(waiting) for waiting in waits]
    feeds: list[list[int]] = [[] for _ in nodes]
    for index, waiting in enumerate(waits):
        for maker in waiting:
            feeds[maker].append(index)
    ready = [index for index, count in enumerate(left) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        order.append(heappop(ready))
        for index in feeds[order[-1]]:
            left[index] -= 1
            if not left[index]:
                heappush(ready, index)
    if len(order) < len(nodes):
        stuck = set(range(len(nodes))).difference(order)
        raise _cycle(nodes, _loop({index: waits[index] & stuck for index in stuck}))
    return order


def _loop(waits: Mapping[int, set[int]]) -> list[int]:
    """One cycle among nodes that each wait for another of them, in the order that data flows."""
    path: dict[int, None] = {}
    index = min(waits)
    while index not in path:
        path[index] = None
        index = min(waits[index])
    steps = list(path)
    return steps[steps.index(index) :][::-1]


def _cycle(nodes: Sequence[Node], loop: Sequence[int]) -> NotAModel:
    labels = [nodes[index].label for index in loop]
    if len(labels) > _NAMED:
        labels[_NAMED:] = [f"{len(labels) - _NAMED} more nodes"]
    return NotAModel(f"the graph has a cycle: {' -> '.join([*labels, labels[0]])}")
