"""A network's graph with batteries: nodes before and behind it, the network itself untouched.

The nodes are of opset 13, so a graph keeps the opset that it has.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from anyres_analyzer import Analysis
from anyres_exporter.rewrite.batteries.answers import ANSWERS, Made, Scores
from anyres_exporter.rewrite.batteries.batteries import Batteries
from anyres_exporter.rewrite.batteries.nodes import Dim, Nodes, declared, dims, renamed
from anyres_exporter.rewrite.batteries.pixels import bytes_in
from anyres_proto.card import ImageInput

_CHANNELS_LAST = (0, 2, 3, 1)


def fitted(
    graph: onnx.ModelProto, image: ImageInput, batteries: Batteries, analysis: Analysis
) -> onnx.ModelProto:
    """A graph with the batteries asked for.

    Args:
        graph: of the network, padded already where that is wanted.
        image: what the network's own input is made of.
        batteries: what is asked for.
        analysis: of this graph.

    Raises:
        BadRecipe: they do not fit this network.
    """
    batteries.check(analysis)
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    if batteries.pixels == "bytes":
        bytes_in(result.graph, image, analysis)
    _answer(result.graph, batteries, analysis)
    if batteries.layout == "NHWC":
        _turn(result.graph)
    onnx.checker.check_model(result)
    return result


def _answer(graph: onnx.GraphProto, batteries: Batteries, analysis: Analysis) -> None:
    """Put the answers before the network's own outputs, and what is not kept away."""
    outputs = {info.name: info for info in _declared_outputs(graph, analysis)}
    answers = batteries.answers(tuple(outputs))
    renamed(graph, {name: f"{name}.inside" for name in answers})
    output = analysis.output
    scores = Scores(
        output.name,
        output.dtype,
        output.channels,
        output.meaning == "probabilities",
        answers,
    )
    new = Nodes()
    made = ANSWERS[batteries.answer](new, scores, batteries)
    own = dims(outputs[output.name])
    for name, answer in zip(answers, made, strict=True):
        outputs[name] = _declared(name, answer, own)
    graph.node.extend(new.nodes)
    graph.initializer.extend(new.constants)
    names = batteries.names(tuple(name for name in outputs if name not in answers))
    del graph.output[:]
    graph.output.extend(outputs[name] for name in names)


def _declared_outputs(graph: onnx.GraphProto, analysis: Analysis) -> list[onnx.ValueInfoProto]:
    """Every output with as many dimensions as it has, were the file silent about them."""
    smallest = analysis.sizes.height.minimum, analysis.sizes.width.minimum
    shapes = analysis.cost(*smallest).output_shapes
    return [
        declared(
            info.name,
            info.type.tensor_type.elem_type,
            dims(info) or [None] * len(shapes[info.name]),
        )
        for info in graph.output
    ]


def _declared(name: str, made: Made, own: list[Dim]) -> onnx.ValueInfoProto:
    """An answer is as high and wide as the scores that it is made of."""
    batch, _, *sides = own
    channels = [] if made.channels is None else [made.channels]
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(made.dtype))
    return declared(name, elem_type, [batch, *channels, *sides])


def _turn(graph: onnx.GraphProto) -> None:
    """Put the channels of every output with four dimensions last."""
    new = Nodes()
    for index, info in enumerate(list(graph.output)):
        sizes = dims(info)
        if len(sizes) != 4:
            continue
        first = f"{info.name}.channels_first"
        renamed(graph, {info.name: first})
        new.make("Transpose", [first], info.name, perm=_CHANNELS_LAST)
        elem_type = info.type.tensor_type.elem_type
        turned = declared(info.name, elem_type, [sizes[axis] for axis in _CHANNELS_LAST])
        graph.output[index].CopyFrom(turned)
    graph.node.extend(new.nodes)
