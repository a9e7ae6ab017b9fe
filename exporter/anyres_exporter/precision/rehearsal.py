"""fp16 rehearsed in fp32: every value is rounded where a device of fp16 would round it.

    fp16         Cast ─> Conv (fp16) ─> Relu (fp16) ─> Cast
    rehearsal    round ─> Conv ─> round ─> Relu ─> round       round = Cast to 16 ─> Cast to 32 bits

What overflows (beyond 65504) overflows here too. The sums of a device that accumulates in fp16 are
the one thing that this does not show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

LARGEST = float(np.finfo(np.float16).max)
_WIDE, _NARROW = ".fp32", ".rounded"
_STEERED = {"Resize"}  # its scales stay fp32


def rehearsed(graph: ModelProto, kept: Collection[str]) -> ModelProto:
    """In fp32, with rounded weights, and every value rounded that an fp16 node takes or makes.

    Args:
        graph: in fp32, with a name on every node.
        kept: the nodes that are fp32 in the variant, too.
    """
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    known = (*inferred.input, *inferred.output, *inferred.value_info)
    floats = {v.name for v in known if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    wide = {name for node in inferred.node if node.name in kept for name in node.output}
    wide = floats & (wide | {value.name for value in inferred.input})
    made = _with_rounded_weights(graph, kept)
    nodes: list[NodeProto] = []
    for value in inferred.input:
        nodes.extend(_narrowed(value.name, wide))
    for node in graph.graph.node:
        nodes.extend([node] if node.name in kept else _rounding(node, floats, wide))
        for name in node.output:
            nodes.extend(_narrowed(name, wide))
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def _with_rounded_weights(graph: ModelProto, kept: Collection[str]) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(graph)
    stays = {n for node in graph.graph.node if node.name in kept for n in node.input}
    stays |= {n for node in graph.graph.node if node.op_type in _STEERED for n in node.input}
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in stays:
            values = numpy_helper.to_array(tensor).clip(-LARGEST, LARGEST)
            rounded = values.astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    return made


def _narrowed(name: str, wide: Collection[str]) -> Iterator[NodeProto]:
    """The rounded copy of a value in fp32, beside it."""
    if name in wide:
        yield from _casts(name, name + _NARROW)


def _rounding(node: NodeProto, floats: set[str], wide: set[str]) -> Iterator[NodeProto]:
    """A node of fp16: it takes rounded values, and its own are rounded."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [name + _NARROW if name in wide else name for name in node.input]
    copy.output[:] = [name + _WIDE if name in floats else name for name in node.output]
    yield copy
    for name in node.output:
        if name in floats:
            yield from _casts(name + _WIDE, name)


def _casts(name: str, rounded: str) -> Iterator[NodeProto]:
    """Down and up; ONNX Runtime leaves such a pair alone where a graph has it."""
    half = f"{rounded}.fp16"
    yield helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16)
    yield helper.make_node("Cast", [half], [rounded], to=TensorProto.FLOAT)
