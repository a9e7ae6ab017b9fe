"""What each weight is for, judged by what it contracts and not by its layer's class name.

A fully connected layer mixes every value it is given; over a flattened map that is every pixel with
every other, which is what fixes an image's size. A 1x1 convolution is the same mix of channels at
every pixel, so it takes any size. Example: a Linear(1280, 1000) after pooling holds 1281000
parameters, bias included, and so does the 1x1 convolution that replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from anyres_analyzer.field import Field
from anyres_analyzer.graph import Graph, Node

KINDS = (
    "fc over space",
    "fc",
    "1x1 convolution",
    "per-channel scale",
    "depthwise k x k",
    "k x k convolution",
    "other",
)


@dataclass(frozen=True)
class Weight:
    """One layer that holds parameters: what it is for, and how many, bias included."""

    node: str
    kind: str
    parameters: int


def weights(graph: Graph, fields: Mapping[str, Field]) -> tuple[Weight, ...]:
    """Every layer with parameters, in graph order; a shared weight counts once, where first used."""
    found: list[Weight] = []
    seen: set[str] = set()
    for node in graph.nodes:
        names = [n for n in node.inputs if n in graph.constants and n not in seen]
        seen.update(names)
        sizes = [prod(graph.constants[n].shape) for n in names if _learned(graph, node, n)]
        if sum(sizes):
            found.append(Weight(node.label, _kind(graph, node, fields), sum(sizes)))
    return tuple(found)


def _learned(graph: Graph, node: Node, name: str) -> bool:
    """Floating-point constants of layers that learn; not limits, scales of Resize, or shapes."""
    return (
        graph.constants[name].elem_type in _FLOATS
        and node.op_type not in _NOT_LEARNED
        and graph.constants[name].shape != ()
    )


_FLOATS = (1, 10, 11, 16)  # float, float16, double, bfloat16
_NOT_LEARNED = frozenset({"Clip", "Resize", "Upsample", "Pad"})


def _kind(graph: Graph, node: Node, fields: Mapping[str, Field]) -> str:
    if node.op_type in ("Gemm", "MatMul"):
        image = fields.get(node.inputs[0])
        flattened = image is not None and any("flattens" in b.reason for b in image.breakers)
        return "fc over space" if flattened else "fc"
    if node.op_type not in ("Conv", "ConvTranspose"):
        return "other"
    shape = graph.constants[node.inputs[1]].shape if node.inputs[1] in graph.constants else ()
    depthwise = node.attributes.get("group", 1) == shape[0] and shape[1:2] == (1,) and shape[0] > 1
    point = all(size == 1 for size in shape[2:])
    if depthwise:
        return "per-channel scale" if point else "depthwise k x k"
    return "1x1 convolution" if point else "k x k convolution"
