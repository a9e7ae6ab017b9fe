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

import onnx

from anyres_analyzer.field.field import Field
from anyres_analyzer.field.layout_rules import FLATTENS
from anyres_analyzer.graph.graph import Constant, Graph, Node
from anyres_analyzer.shapes.tensor import Tensors

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


def weights(graph: Graph, fields: Mapping[str, Field], tensors: Tensors) -> tuple[Weight, ...]:
    """Every layer with parameters, in graph order; a shared weight counts once, where first used.

    What is made of constants alone (a transposed or quantized weight) belongs to the layer that
    meets it with the image.
    """
    found: list[Weight] = []
    seen: set[str] = set()
    mixed: set[str] = set()  # what a fully connected layer has already made of a vector
    for node in graph.nodes:
        if node.op_type in _NOT_LEARNED or not any(name in fields for name in node.inputs):
            continue
        made_of = frozenset().union(*(graph.origins.get(name, ()) for name in node.inputs)) - seen
        seen |= made_of
        parameters = sum(_learned(graph.constants[name]) for name in made_of)
        if parameters:
            over_space = _flattened(node, fields) and mixed.isdisjoint(node.inputs)
            kind = _kind(node, tensors, over_space=over_space)
            found.append(Weight(node.label, kind, parameters))
        answers = node.op_type in _PRODUCTS and _image(node, fields).dim is None
        if answers or not mixed.isdisjoint(node.inputs):
            mixed.update(node.made)
    return tuple(found)


def _learned(constant: Constant) -> int:
    """The elements of a constant that can be a weight: no shape, axis or single number."""
    steers = constant.elem_type in _STEERING_TYPES or constant.shape == ()
    return 0 if steers else prod(constant.shape)


_STEERING_TYPES = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)
_NOT_LEARNED = frozenset({"Clip", "Resize", "Upsample", "Pad"})


def _kind(node: Node, tensors: Tensors, *, over_space: bool) -> str:
    if node.op_type in _PRODUCTS:
        return "fc over space" if over_space else "fc"
    return _convolution(node, tensors) if node.op_type in _CONVOLUTIONS else "other"


def _flattened(node: Node, fields: Mapping[str, Field]) -> bool:
    lost = _image(node, fields).lost
    return lost is not None and lost.reason == FLATTENS


def _image(node: Node, fields: Mapping[str, Field]) -> Field:
    return next(fields[name] for name in node.inputs if name in fields)


def _convolution(node: Node, tensors: Tensors) -> str:
    outputs, inputs, *window = tensors[node.inputs[1]].shape
    depthwise = node.attributes.get("group", 1) == outputs > inputs == 1
    point = all(size == 1 for size in window)
    if depthwise:
        return "per-channel scale" if point else "depthwise k x k"
    return "1x1 convolution" if point else "k x k convolution"


_PRODUCTS = frozenset({"Gemm", "MatMul"})
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
