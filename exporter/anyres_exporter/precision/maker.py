"""What makes a variant: all layers in less precision, but for those that are kept in fp32."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from onnx import GraphProto, ModelProto
from onnxruntime.quantization.onnx_model import ONNXModel

Make = Callable[[Collection[str]], ModelProto]


@dataclass(frozen=True)
class Maker:
    """A way to less precision for one graph.

    Args:
        layers: the nodes that lose precision, in the graph's order; any may be kept in fp32.
        make: the variant that keeps these.
        rehearse: what answers on this machine as that variant does on its device; itself if None.
    """

    layers: tuple[str, ...]
    make: Make
    rehearse: Make | None = None

    def judged(self, kept: Collection[str]) -> ModelProto:
        """The graph that is compared with fp32."""
        return (self.rehearse or self.make)(kept)


def named(graph: ModelProto) -> ModelProto:
    """The graph with a name on every node, each its own: a node is kept by its name."""
    made = ModelProto()
    made.CopyFrom(graph)
    taken: set[str] = set()
    for index, node in enumerate(made.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)
    return made


def bare(graph: ModelProto) -> ModelProto:
    """What a converter made, in order: every node after those it takes from, and no notes."""
    model = ONNXModel(graph)
    model.topological_sort()
    made: ModelProto = model.model
    del made.metadata_props[:], made.graph.value_info[:]
    return made


def weighted(graph: GraphProto) -> tuple[str, ...]:
    """The nodes that multiply by constant weights, in the graph's order: the layers."""
    constant = {tensor.name for tensor in graph.initializer}
    constant |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return tuple(
        node.name
        for node in graph.node
        if node.op_type in {"Conv", "ConvTranspose", "Gemm", "MatMul"}
        and any(name in constant for name in node.input[1:2])
    )
