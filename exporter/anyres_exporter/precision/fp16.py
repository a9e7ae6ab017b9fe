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
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

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
    """In fp32, with rounded weights, and every value rounded that an fp16 node takes or makes."""
    made = narrowed_weights(graph, kept)
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    known = (*inferred.input, *inferred.output, *inferred.value_info)
    floats = {v.name for v in known if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    wide = {v.name for v in inferred.input} | _made_by(inferred, kept)
    own = {node.name for node in graph.graph.node} - set(kept)
    nodes: list[NodeProto] = []
    for name in (value.name for value in inferred.input if value.name in floats):
        nodes.extend(_rounding(name, name + _NARROW))
    for node in made.graph.node:
        rounded = node.name in own
        takes = {name: name + _NARROW for name in node.input if rounded and name in wide & floats}
        gives = {name: name + _WIDE for name in node.output if rounded and name in floats}
        nodes.append(_renamed(node, takes, gives))
        for name, unrounded in gives.items():
            nodes.extend(_rounding(unrounded, name))
        for name in node.output:
            if name in wide & floats:
                nodes.extend(_rounding(name, name + _NARROW))
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    return made


def _made_by(graph: GraphProto, names: Collection[str]) -> set[str]:
    return {value for node in graph.node if node.name in names for value in node.output}


def _renamed(node: NodeProto, takes: dict[str, str], gives: dict[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [takes.get(name, name) for name in node.input]
    copy.output[:] = [gives.get(name, name) for name in node.output]
    return copy


def _rounding(name: str, rounded: str) -> Iterator[NodeProto]:
    """A cast down and one up; the runtime leaves such a pair alone where a graph has it."""
    half = f"{rounded}.fp16"
    yield helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16)
    yield helper.make_node("Cast", [half], [rounded], to=TensorProto.FLOAT)
