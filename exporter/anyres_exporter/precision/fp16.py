"""fp16: weights and activations in half precision, half the file and half the memory traffic.

The input and the outputs stay fp32. ONNX Runtime's CPU provider has fp16 kernels for few operators:
it widens the rest to fp32 and drops the roundings in between, so there such a variant is no faster
than fp32, and answers better than it would on a device that computes in fp16. So what is compared
with fp32 is a rehearsal (`rehearsal`).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from anyres_exporter.precision.maker import Maker, bare, named, weighted
from anyres_exporter.precision.rehearsal import rehearsed


def fp16(model: Path) -> Maker:
    """Any layers can be kept in fp32, with what follows them up to the next."""
    graph = named(onnx.load(model))
    layers = weighted(graph.graph)

    def make(kept: Collection[str]) -> ModelProto:
        return _halved(graph, _with_followers(graph, layers, kept))

    def rehearse(kept: Collection[str]) -> ModelProto:
        return rehearsed(graph, _with_followers(graph, layers, kept))

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
