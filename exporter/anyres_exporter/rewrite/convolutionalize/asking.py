"""Asks the classifier as it came, and the graph that was made of it, for the same tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from anyres_exporter.rewrite.convolutionalize.convert import Answer, Converted, prune
from anyres_exporter.rewrite.convolutionalize.source import Classifier
from anyres_exporter.runtime import Runtime

Array = NDArray[Any]


class Tail:
    """What the classifier makes of its last map, cut off from what comes before."""

    def __init__(self, source: Classifier, answer: Answer) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(source.model)
        graph = model.graph
        for node in [node for node in graph.node if answer.root in node.output]:
            graph.node.remove(node)
        image = graph.input[0]
        elem_type, shape = source.tensors[answer.root].elem_type, source.tensors[answer.root].shape
        known = source.tensors[source.graph.image.name]
        blank = np.zeros(known.shape, helper.tensor_dtype_to_np_dtype(known.elem_type))
        graph.initializer.append(numpy_helper.from_array(blank, image.name))  # for its shape alone
        del graph.input[:], graph.value_info[:], graph.output[:]
        graph.input.append(helper.make_tensor_value_info(answer.root, elem_type, shape))
        graph.output.append(onnx.ValueInfoProto(name=answer.logits))
        model.ir_version = max(model.ir_version, 4)
        prune(graph)
        self._run = Runtime(model)

    def __call__(self, last_map: Array) -> Array:
        """The logits of one last map."""
        (logits,) = self._run(last_map).values()
        return logits


def original(source: Classifier, tensors: Iterable[str]) -> Runtime:
    """The classifier as it came; these tensors are among its outputs."""
    return Runtime(showing(source.model, tensors))


def dense(converted: Converted) -> Runtime:
    """The new graph; what stands for the classifier's logits is among its outputs."""
    return Runtime(showing(converted.model, [answer.map for answer in converted.answers]))


def showing(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """A model whose outputs are all its own and these tensors."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {info.name for info in model.graph.output}
    for name in dict.fromkeys(tensors):
        if name not in known:
            shown.graph.output.append(onnx.ValueInfoProto(name=name))
    return shown


def noise(count: int, source: Classifier, size: tuple[int, int]) -> Array:
    """Seeded noise of this size, in the classifier's layout and type: normal, or any bytes."""
    graph = source.graph
    shape = graph.layout.shape(count, graph.channels, *size)
    generator = np.random.default_rng((count, *size))
    dtype = source.number_type(graph.image.name)
    if np.issubdtype(dtype, np.integer):
        return generator.integers(0, 256, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)
