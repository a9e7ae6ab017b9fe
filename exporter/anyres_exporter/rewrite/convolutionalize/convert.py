"""A classifier's graph as a convolutional one: its tail replaced, its sizes open, and analysed.

What comes out is only declared to take any size; `native` and `patches` say what it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx
from google.protobuf.message import Message
from onnx import helper

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import AnalysisError, Inadmissible
from anyres_exporter.rewrite.convolutionalize.call import Pool
from anyres_exporter.rewrite.convolutionalize.graft import Graft
from anyres_exporter.rewrite.convolutionalize.opening import open_sizes, pin_batch
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible, at
from anyres_exporter.rewrite.convolutionalize.source import Classifier
from anyres_exporter.rewrite.convolutionalize.tail import followed
from anyres_exporter.rewrite.convolutionalize.view import View

_ARRANGING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_FINAL = frozenset({"ArgMax", "ArgMin", "Cast", "Hardmax", "LogSoftmax", "Sigmoid", "Softmax"})


@dataclass(frozen=True)
class Answer:
    """One output that became a map.

    `root` is the classifier's last map; its answer is made of `window` cells (h, w) of it, and the
    new graph gives `cells` answers at the native size: one, or one for each cell where a pool was
    dropped. `logits` is the classifier's tensor that its last activations (softmax, argmax) are
    taken of, or the output itself, and `map` what stands for it. `bent` is the first node that is
    not linear between a dropped pool and `logits`.
    """

    output: str
    root: str
    logits: str
    map: str
    window: tuple[int, int]
    cells: tuple[int, int]
    bent: str | None

    @property
    def dropped(self) -> bool:
        """Whether a pool over several cells was left out."""
        return self.cells != (1, 1)


@dataclass(frozen=True)
class Converted:
    """The convolutional graph, and what it was made of; `layers` are its new convolutions."""

    model: onnx.ModelProto = field(repr=False)
    source: Classifier
    analysis: Analysis = field(repr=False)
    answers: tuple[Answer, ...]
    layers: tuple[str, ...]

    @property
    def answer(self) -> Answer:
        """The first: the one that is served."""
        return self.answers[0]


def convert(source: Classifier, *, pool: Pool = "keep") -> Converted:
    """The convolutional graph of a classifier; its outputs keep their names.

    Args:
        source: as it was read.
        pool: whether an average over the whole map becomes a window that slides by one cell, or is
            left out, so that each cell gets an answer of its own.

    Raises:
        NotConvertible: a node stands in the way, in the tail or before it.
    """
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    graft = Graft(model.graph)
    views = followed(source, graft, pool)
    answers = [
        _answer(source, output.name, views)
        for output in source.graph.outputs
        if output.name in views and not source.is_map(output.name)
    ]
    for answer in answers:
        graft.named(views[answer.output].map, answer.output)
    answers = [_renamed(answer, graft) for answer in answers]
    graft.absorb_biases({answer.map for answer in answers})
    _grow(model, graft, source, answers, views)
    open_sizes(model.graph, source)
    prune(model.graph)
    layers = tuple(node.name for node in graft.nodes if node.op_type == "Conv")
    return Converted(model, source, analysed(model, source), tuple(answers), layers)


def _answer(source: Classifier, output: str, views: Mapping[str, View]) -> Answer:
    view = views[output]
    if view.owed or not view.contracted:
        raise NotConvertible(
            f"its output '{output}' is the last map laid flat, not an answer for the whole of it"
        )
    logits = _logits(source, output, views)
    if "".join(view.dims) not in ("nc", "n", "c", ""):
        raise NotConvertible(f"its output '{output}' is {view.shape}; expected (n, classes)")
    return Answer(
        output,
        view.root,
        logits,
        views[logits].map,
        source.window(view.root),
        view.cells,
        views[logits].bent,
    )


def _renamed(answer: Answer, graft: Graft) -> Answer:
    own = answer.output if answer.logits == answer.output else graft.name_of(answer.map)
    return replace(answer, map=own)


def _logits(source: Classifier, output: str, views: Mapping[str, View]) -> str:
    """What the last activations are taken of."""
    name = found = output
    while (node := source.makers[name]).op_type in _FINAL | _ARRANGING:
        name = node.inputs[0]
        if name not in views:
            break
        found = name if node.op_type in _FINAL else found
    return found


def _grow(
    model: onnx.ModelProto,
    graft: Graft,
    source: Classifier,
    answers: Sequence[Answer],
    views: Mapping[str, View],
) -> None:
    """The new nodes, instead of those that made the outputs."""
    graph, names = model.graph, {answer.output for answer in answers}
    kept = [node for node in graph.node if names.isdisjoint(node.output)]
    del graph.node[:]
    graph.node.extend([*kept, *graft.nodes])
    graph.initializer.extend(graft.initializers)
    for info in graph.output:
        if info.name in names:
            elem_type = source.tensors[info.name].elem_type
            shape = ("batch", views[info.name].extents.c, "output_height", "output_width")
            info.CopyFrom(helper.make_tensor_value_info(info.name, elem_type, shape))
    model.ir_version = max(model.ir_version, 4)  # constants need not be inputs from there on


def prune(graph: onnx.GraphProto) -> None:
    """Nodes and constants that no output needs go, and constants are no inputs."""
    needed = {info.name for info in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            nodes.append(node)
            needed.update(node.input)
    constants = {tensor.name for tensor in graph.initializer}
    _keep(graph.node, nodes[::-1])
    _keep(graph.initializer, [t for t in graph.initializer if t.name in needed])
    _keep(
        graph.sparse_initializer, [t for t in graph.sparse_initializer if t.values.name in needed]
    )
    _keep(graph.input, [info for info in graph.input if info.name not in constants])


def _keep(messages: Any, left: Sequence[Message]) -> None:
    del messages[:]
    messages.extend(left)


def analysed(model: onnx.ModelProto, source: Classifier) -> Analysis:
    """The analysis of a graph whose sizes were opened, where it shows that they truly are.

    The batch is pinned again where the graph does not take several images.

    Raises:
        NotConvertible: an axis is fixed all the same, or other sizes are wrong; names the node.
    """
    try:
        analysis = analyze(model)
        height, width = analysis.sizes.height, analysis.sizes.width
        for axis, contract in (("H", height), ("W", width)):
            if contract.verdict not in ("free", "stepped"):
                raise at(contract.node or "the input", f"it keeps {axis}: {contract.reason}")
        if not _takes_several(analysis):
            pin_batch(model.graph, source.graph.batch)
            return analyze(model)
    except AnalysisError as error:
        raise NotConvertible(f"what came of it cannot be analysed: {error}") from error
    return analysis


def _takes_several(analysis: Analysis) -> bool:
    sizes = analysis.sizes.height.minimum, analysis.sizes.width.minimum
    try:
        tensors = analysis.shapes.at(*sizes, batch=_SEVERAL)
    except Inadmissible:
        return False
    return all(tensors[output.name].shape[0] == _SEVERAL for output in analysis.outputs)


_SEVERAL = 3
