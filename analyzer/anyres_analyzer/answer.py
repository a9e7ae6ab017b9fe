"""What an output's numbers are, read off the operators that stand last before it.

Some operators take each cell by itself and say how a network answers: a softmax over the channels,
an argmax, the k largest, a threshold, another type or layout. From the output back to the first
that is none of these they tell the meaning of the numbers:

    logits                         what the last layer gives
    probabilities                  0 to 1, by softmax over the channels or by sigmoid
    class_map                      the index of the highest channel
    mask                           whether a channel is above a threshold
    top_k_classes, top_k_scores    the k highest channels, and their probabilities
    values                         any other numbers

The tensor where they begin is the `source`: outputs of one source are views of one answer, and see
the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from onnx import helper

from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.graph.layout import MAPS, NCHW, Layout
from anyres_analyzer.shapes.tensor import Tensor, Tensors

LOGITS, PROBABILITIES, VALUES = "logits", "probabilities", "values"
CLASS_MAP, MASK, TOP_K_CLASSES, TOP_K_SCORES = (
    "class_map",
    "mask",
    "top_k_classes",
    "top_k_scores",
)
_LOG_PROBABILITIES, _TOP_K_LOGARITHMS = "log probabilities", "logarithms of top-k scores"
_SAME = frozenset({"Cast", "Identity", "Squeeze", "Transpose", "Unsqueeze"})
_OVER_CHANNELS = frozenset({"ArgMax", "LogSoftmax", "Softmax", "TopK"})
_BY_ITSELF = frozenset({"Exp", "Greater", "GreaterOrEqual", "Sigmoid"})
_COUNTS_CLASSES = frozenset({"ArgMax", "TopK"})
_ANY = ""

# (operator, which of its outputs, what goes in) -> what comes out; else values
_BECOMES: Mapping[tuple[str, int, str], str] = {
    ("Softmax", 0, _ANY): PROBABILITIES,
    ("Sigmoid", 0, _ANY): PROBABILITIES,
    ("LogSoftmax", 0, _ANY): _LOG_PROBABILITIES,
    ("Exp", 0, _LOG_PROBABILITIES): PROBABILITIES,
    ("Exp", 0, _TOP_K_LOGARITHMS): TOP_K_SCORES,
    ("ArgMax", 0, _ANY): CLASS_MAP,
    ("TopK", 0, PROBABILITIES): TOP_K_SCORES,
    ("TopK", 0, _LOG_PROBABILITIES): _TOP_K_LOGARITHMS,
    ("TopK", 1, _ANY): TOP_K_CLASSES,
    ("Greater", 0, _ANY): MASK,
    ("GreaterOrEqual", 0, _ANY): MASK,
}
_ALSO: Mapping[str, str] = {_LOG_PROBABILITIES: LOGITS, _TOP_K_LOGARITHMS: VALUES}
_OF_FLOATS = (LOGITS, PROBABILITIES)


@dataclass(frozen=True)
class Answer:
    """What an output's numbers are; `classes` is how many there were to choose from, if any."""

    meaning: str
    classes: int | None
    source: str


def answer_of(
    output: str, graph: Graph, tensors: Tensors, fields: tuple[Mapping[str, Field], ...]
) -> Answer:
    """The answer that the output of this name gives.

    Args:
        output: its name.
        graph: the graph.
        tensors: all of its tensors, at some size.
        fields: of its tensors, along height and width.
    """
    steps = list(_steps(output, graph, tensors, fields))
    meaning, classes = LOGITS, None
    for step in reversed(steps):
        if step.node.op_type in _SAME or step.cuts:
            continue
        kind = step.node.op_type, step.index
        meaning = _BECOMES.get((*kind, _ANY)) or _BECOMES.get((*kind, meaning), VALUES)
        if step.node.op_type in _COUNTS_CLASSES:
            classes = step.channels
    meaning = _ALSO.get(meaning, meaning)
    if meaning in _OF_FLOATS and _is_whole(tensors[output]):
        meaning = VALUES
    whole = list(takewhile(lambda step: not step.cuts, steps))
    return Answer(meaning, classes, whole[-1].node.inputs[0] if whole else output)


def layout_of(shape: tuple[int, ...], fields: tuple[Field | None, ...]) -> Layout | None:
    """The layout of a map that follows the image; None where it is no map."""
    dims = tuple(field.dim if field else None for field in fields)
    return next((m for m in MAPS if len(m.name) == len(shape) and m.sides == dims), None)


@dataclass(frozen=True)
class _Step:
    """A node on the way back from an output, through which of its outputs, over what channels."""

    node: Node
    index: int
    channels: int
    cuts: bool


def _steps(
    name: str, graph: Graph, tensors: Tensors, fields: tuple[Mapping[str, Field], ...]
) -> Iterator[_Step]:
    """Back from an output, as long as every cell is taken by itself or cells are cut off."""
    makers = {made: (node, i) for node in graph.nodes for i, made in enumerate(node.made)}
    while name in makers:
        node, index = makers[name]
        name = node.inputs[0]
        if name not in fields[0]:
            return
        shape = tensors[name].shape
        layout = layout_of(shape, tuple(along.get(name) for along in fields)) or NCHW
        axis = layout.channels
        cuts = node.op_type == "Slice"
        if not cuts and not _cell_by_cell(node, len(shape), axis, graph):
            return
        channels = shape[axis] if axis is not None and axis < len(shape) else 1
        yield _Step(node, index, channels, cuts)


def _cell_by_cell(node: Node, rank: int, channels: int | None, graph: Graph) -> bool:
    if node.op_type in _SAME | _BY_ITSELF:
        return all(name in graph.origins for name in node.inputs[1:] if name)
    if node.op_type not in _OVER_CHANNELS or channels is None:
        return False
    flattens = graph.opset < 13 and node.op_type in ("LogSoftmax", "Softmax")
    if flattens and rank != 2:
        return False
    default = {"ArgMax": 0, "TopK": -1}.get(node.op_type, 1 if graph.opset < 13 else -1)
    axis: int = node.attributes.get("axis", default)
    return axis % rank == channels


def _is_whole(tensor: Tensor) -> bool:
    kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return np.issubdtype(kind, np.integer) or kind == np.bool_
