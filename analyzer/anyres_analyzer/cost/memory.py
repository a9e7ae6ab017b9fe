"""Which activations are alive when: liveness over the node order.

A tensor lives from the node that makes it to the last that reads it, the image and the outputs for
the whole run; an elementwise operator whose input dies there writes in place, as ONNX Runtime does.
Weights, and what is made of weights alone, are no activations.

What is alive is told by names, so one schedule serves numbers of bytes and formulas for them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors

_IN_PLACE = frozenset(
    "Add BatchNormalization Clip Div Elu HardSigmoid HardSwish Identity LeakyRelu Mul Relu Reshape "
    "Flatten Squeeze Unsqueeze Sigmoid Sub Tanh Dropout Cast Softmax".split()
)
Bytes = TypeVar("Bytes", int, NDArray[Any])  # at one size, or as coefficients


@dataclass(frozen=True)
class Step:
    """One node's turn: what it makes, whose buffer it writes into, and what nobody reads after."""

    node: str
    makes: tuple[str, ...]
    overwrites: str | None
    frees: tuple[str, ...]


def schedule(graph: Graph, tensors: Tensors) -> tuple[Step, ...]:
    """Every node's turn, at the size that these tensors were walked at."""
    alive = {graph.image.name}
    steps = []
    for index, node in enumerate(graph.nodes):
        if all(name in graph.origins for name in node.made):
            continue  # made of weights alone, once
        overwritten = _overwritten(graph, index, node, tensors, alive)
        alive.update(node.made)
        candidates = dict.fromkeys((*node.inputs, *node.made))
        frees = tuple(name for name in candidates if name in alive and _dies(graph, index, name))
        alive.difference_update(frees)
        steps.append(Step(node.label, node.made, overwritten, frees))
    return tuple(steps)


def moments(
    image: str, steps: tuple[Step, ...], size: Callable[[str], Bytes]
) -> Iterator[tuple[str, Bytes]]:
    """What is alive at the beginning and during each step, and the node whose turn it is."""
    live = size(image)
    yield f"input '{image}'", live
    for step in steps:
        for name in step.makes:
            live = live + size(name)
        yield step.node, live - size(step.overwrites) if step.overwrites else live
        for name in step.frees:
            live = live - size(name)


def _dies(graph: Graph, index: int, name: str) -> bool:
    return graph.last_use.get(name, index) <= index and name != graph.image.name


def _overwritten(
    graph: Graph, index: int, node: Node, tensors: Tensors, alive: set[str]
) -> str | None:
    """The input whose buffer an in-place operator writes its output into."""
    if node.op_type not in _IN_PLACE:
        return None
    needed = tensors[node.made[0]].bytes
    dying = (n for n in node.inputs if n in alive and _dies(graph, index, n))
    return next((name for name in dying if tensors[name].bytes == needed), None)
