"""Weights stored as fp16 and widened when the file is loaded: half the file, the same speed.

    before   w (float) ───────────────────────> Conv
    after    w.fp16 (float16) ─> Cast ─> w ───> Conv

ONNX Runtime folds the cast of a constant as it loads, so what runs is fp32 with rounded weights. A
weight beyond the largest fp16 number stays fp32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from anyres_exporter.precision.maker import Maker, named, weighted

SMALLEST = 256  # numbers; what is smaller than that saves nothing, and may steer shapes
LARGEST = float(np.finfo(np.float16).max)
SUFFIX = ".fp16"


def half_weights(model: Path) -> Maker:
    """The weights of any layers can be kept as they are."""
    graph = named(onnx.load(model))

    def make(kept: Collection[str]) -> ModelProto:
        return _stored(graph, kept)

    return Maker(weighted(graph.graph), make)


def _stored(graph: ModelProto, kept: Collection[str]) -> ModelProto:
    """The graph with casts before its nodes, and the initializers replaced where they stood."""
    made = ModelProto()
    made.CopyFrom(graph)
    del made.metadata_props[:], made.graph.node[:], made.graph.initializer[:]
    stay = {value.name for value in graph.graph.input}
    stay |= {name for node in graph.graph.node if node.name in kept for name in node.input}
    made.graph.node.extend(_casts(graph, made, stay))
    made.graph.node.extend(graph.graph.node)
    return made


def _casts(graph: ModelProto, made: ModelProto, stay: set[str]) -> Iterator[NodeProto]:
    for tensor in graph.graph.initializer:
        narrow = None if tensor.name in stay else _narrowed(tensor)
        made.graph.initializer.append(narrow or tensor)
        if narrow is not None:
            yield helper.make_node(
                "Cast", [narrow.name], [tensor.name], f"{tensor.name}.widened", to=TensorProto.FLOAT
            )


def _narrowed(tensor: TensorProto) -> TensorProto | None:
    if tensor.data_type != TensorProto.FLOAT or prod(tensor.dims) < SMALLEST:
        return None
    values = numpy_helper.to_array(tensor)
    if not (np.abs(values) <= LARGEST).all():
        return None
    return numpy_helper.from_array(values.astype(np.float16), tensor.name + SUFFIX)
