"""Opens a graph's batch, height and width, and what an export baked of them into its reshapes.

An export at a fixed size writes the shapes of a channel shuffle or of a squeeze-and-excite as
constants: Reshape to (1, 2, 24, 28, 28). Which of these numbers are the map's own rows and columns
is known from the fields, so they are computed from the map instead. Whatever else was baked (the
sizes of a Resize, a table of positions) is found by the analysis of the result, and refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import onnx

from anyres_analyzer.graph.graph import Node
from anyres_exporter.rewrite.convolutionalize.graft import Graft
from anyres_exporter.rewrite.convolutionalize.source import Classifier

_NAMES = ("batch", "height", "width")


def open_sizes(graph: onnx.GraphProto, source: Classifier) -> None:
    """Let the image of `graph`, which is ours to change, be of any size, and any number of it."""
    image = next(info for info in graph.input if info.name == source.graph.image.name)
    dims = image.type.tensor_type.shape.dim
    for index, name in zip((0, *source.graph.layout.sides), _NAMES, strict=True):
        dims[index].dim_param = name
    del graph.value_info[:]  # stated for the native size
    for node in source.graph.nodes:
        if node.op_type == "Reshape" and source.sees_pixels(node.inputs[0]):
            _open_reshape(graph, node, source)


def pin_batch(graph: onnx.GraphProto, images: int) -> None:
    """Take it back: so many images at a time, as the file had it."""
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = images
    for info in graph.output:
        info.type.tensor_type.shape.dim[0].dim_value = images


def _open_reshape(graph: onnx.GraphProto, node: Node, source: Classifier) -> None:
    proto = next((own for own in graph.node if node.made[0] in own.output), None)
    baked = dict(_baked(node, source))
    if proto is None or proto.op_type != "Reshape" or not baked:  # of the tail, and replaced
        return
    graft = Graft(graph)
    shape = graft.node("Shape", [node.inputs[0]], f"{node.made[0]}.shape")
    target = source.value(node.inputs[1])
    pieces = []
    for index, size in enumerate(target.tolist()):
        name = f"{node.made[0]}.shape.{index}"
        if index in baked:
            at = graft.constant(np.array([baked[index]], np.int64), f"{name}.dim")
            pieces.append(graft.node("Gather", [shape, at], name, axis=0))
        else:
            pieces.append(graft.constant(np.array([size], np.int64), name))
    proto.input[1] = graft.node("Concat", pieces, f"{node.made[0]}.shape", axis=0)
    place = list(graph.node).index(proto)
    for new in reversed(graft.nodes):
        graph.node.insert(place, new)
    graph.initializer.extend(graft.initializers)


def _baked(node: Node, source: Classifier) -> Iterator[tuple[int, int]]:
    """Which numbers of a constant shape are the image's: their place, and that in the input."""
    if node.inputs[1] not in source.graph.constants:
        return
    target = source.value(node.inputs[1]).tolist()
    before, after = (source.tensors[name].shape for name in (node.inputs[0], node.made[0]))
    if target[0] == before[0] == after[0] == source.graph.batch:
        yield 0, 0
    for fields in source.fields:
        dims = [fields[name].dim for name in (node.inputs[0], node.made[0]) if name in fields]
        if len(dims) == 2 and None not in dims:
            given, made = cast(list[int], dims)
            if target[made] > 0:
                yield made % len(after), given % len(before)
