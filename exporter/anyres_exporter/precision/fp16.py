"""fp16: weights and activations in half precision, half the file and half the memory traffic.

The input and the outputs stay fp32. ONNX Runtime's CPU provider has fp16 kernels for few operators:
it widens the rest to fp32 and drops the roundings in between, so there such a variant is no faster
than fp32 and answers better than it would on a device that computes in fp16. So what is compared
with fp32 is a rehearsal, the fp32 graph with every value rounded to fp16 where the variant has it:

    variant      Cast ─> Conv (fp16) ─> Relu (fp16) ─> Cast
    rehearsal    Cast ─> Cast ─> Conv ─> Cast ─> Cast ─> Relu ─> Cast ─> Cast     (16, 32 bits)

What overflows (beyond 65504) overflows in it too, and the sums of a device that accumulates in fp16
are the one thing that it does not show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from anyres_exporter.precision.half_weights import narrowed_weights
from anyres_exporter.precision.maker import Maker, bare, named, weighted

_WIDE, _NARROW = ".fp32", ".rounded"


def fp16(model: Path) -> Maker:
    """Any layers can be kept in fp32, with what follows them up to the next."""
    graph = named(onnx.load(model))
    layers = weighted(graph.graph)

    def make(kept: Collection[str]) -> ModelProto:
        return _halved(graph, _with_followers(graph, layers, kept))

    def rehearse(kept: Collection[str]) -> ModelProto:
        return _rehearsed(graph, _with_followers(graph, layers, kept))

    return Maker(layers, make, rehearse)


def _with_followers(
    graph: ModelProto, layers: Collection[str], kept: Collection[str]
) -> frozenset[str]:
    """The kept layers, and the activations and joins of nothing but their values."""
    constant = {tensor.name for tensor in graph.graph.initializer} | {""}
    wide: set[str] = set()
    found: set[str] = set()
    for node in graph.graph.node:
        values = set(node.input) - constant
        follows = node.name not in layers and bool(values) and values <= wide
        if node.name in kept or follows:
            wide.update(node.output)
            found.add(node.name)
    return frozenset(found)


def _halved(graph: ModelProto, kept: Collection[str]) -> ModelProto:
    # Its package puts a folder of its own on sys.path; nobody pays for that but who asks for fp16.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = ModelProto()
    copy.CopyFrom(graph)
    made = convert_float_to_float16(copy, keep_io_types=True, node_block_list=sorted(kept))
    return bare(_straightened(made))


def _straightened(graph: ModelProto) -> ModelProto:
    """Nothing is narrowed and widened again between two nodes that are kept: it would overflow.

    The cast that widened is one from fp32 to fp32 then, which is none.
    """
    casts = [node for node in graph.graph.node if node.op_type == "Cast"]
    narrowing = {node.output[0]: node for node in casts if _to(node) == TensorProto.FLOAT16}
    for node in casts:
        if _to(node) == TensorProto.FLOAT and node.input[0] in narrowing:
            node.input[0] = narrowing[node.input[0]].input[0]
    used = {name for node in graph.graph.node for name in node.input}
    for name, node in narrowing.items():
        if name not in used:
            graph.graph.node.remove(node)
    return graph


def _to(cast: NodeProto) -> int:
    return next(int(each.i) for each in cast.attribute if each.name == "to")


def _rehearsed(graph: ModelProto, kept: Collection[str]) -> ModelProto:
    """In fp32, with rounded weights, and every value of a node that is not kept rounded."""
    weights = narrowed_weights(graph, kept)
    made = onnx.shape_inference.infer_shapes(weights)
    inner = (*made.graph.input, *made.graph.output, *made.graph.value_info)
    floats = {v.name for v in inner if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    nodes = [each for node in made.graph.node for each in _rounding(node, kept, floats)]
    del weights.graph.node[:], weights.graph.value_info[:]
    weights.graph.node.extend(nodes)
    return weights


def _rounding(node: NodeProto, kept: Collection[str], floats: set[str]) -> Iterator[NodeProto]:
    """The node, and for each of its float values a cast down and one up."""
    rounded = NodeProto()
    rounded.CopyFrom(node)
    named = [name for name in node.output if name in floats and node.name not in kept]
    for index, name in enumerate(node.output):
        if name in named:
            rounded.output[index] = name + _WIDE
    yield rounded
    for name in named:
        yield helper.make_node("Cast", [name + _WIDE], [name + _NARROW], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [name + _NARROW], [name], to=TensorProto.FLOAT)
