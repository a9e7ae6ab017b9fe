"""Which nodes of a graph are computed in 8 bits.

Layers are, and what lies between two of them: there ONNX Runtime has 8-bit kernels, and a tensor
that stays in bytes from layer to layer is neither widened nor rounded again.

    image ─> Pad ─> [Conv ─> Relu ─> MaxPool ─> Conv] ─> Resize ─> scores
                    └────────── in 8 bits ─────────┘

What comes before the first layer or after the last is left alone: rounding it wins nothing and
costs accuracy. So is a transposed convolution, which has no 8-bit kernel.
"""

from __future__ import annotations

from collections.abc import Collection

from onnx import GraphProto, NodeProto

LAYERS = frozenset({"Conv", "Gemm", "MatMul"})  # where their weights are constant
JOINS = frozenset({"Add", "Mul"})  # of two maps; layers too, for what is kept in fp32
BETWEEN = frozenset(
    """AveragePool Clip Concat Flatten GlobalAveragePool LeakyRelu MaxPool Relu Reshape Sigmoid
    Squeeze Transpose Unsqueeze""".split()
)
CUTS = frozenset({"Clip", "Relu"})  # a layer's own range in 8 bits does their work
OPERATORS = tuple(sorted(LAYERS | JOINS | BETWEEN | {"Resize"}))


def rounded(graph: GraphProto, kept: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the nodes in 8 bits, in the graph's order, if `kept` are not."""
    constant = {tensor.name for tensor in graph.initializer}
    candidates = [node for node in graph.node if node.name not in kept and _could(node, constant)]
    fed = _fed(candidates, constant)
    used = _used(fed)
    return tuple(node.name for node in used)


def may_be_kept(graph: GraphProto, names: Collection[str]) -> tuple[str, ...]:
    """Those of them that compute, and so lose precision of their own."""
    return tuple(
        node.name for node in graph.node if node.name in names and node.op_type in LAYERS | JOINS
    )


def _could(node: NodeProto, constant: set[str]) -> bool:
    """Whether there is an 8-bit kernel for it."""
    if node.op_type in LAYERS:
        return node.input[1] in constant and node.input[0] not in constant
    if node.op_type in JOINS:
        return not constant.intersection(node.input)
    if node.op_type == "Resize":  # of whole pixels: a value between two of them would be rounded
        return any(each.name == "mode" and each.s == b"nearest" for each in node.attribute)
    return node.op_type in BETWEEN


def _fed(candidates: list[NodeProto], constant: set[str]) -> list[NodeProto]:
    """Without those that no 8-bit value comes to: of a join both sides must, elsewhere one."""
    eight_bit: set[str] = set()
    found = []
    for node in candidates:
        if node.op_type in LAYERS:
            reached = True
        elif node.op_type in JOINS:
            reached = eight_bit.issuperset(node.input)
        else:
            reached = not eight_bit.isdisjoint(node.input)
        if reached:
            eight_bit.update(node.output)
            found.append(node)
    return found


def _used(fed: list[NodeProto]) -> list[NodeProto]:
    """Without those whose values no 8-bit node takes, but for layers and what cuts off theirs."""
    layers = {name for node in fed if node.op_type in LAYERS for name in node.output}
    wanted: set[str] = set()
    found = []
    for node in reversed(fed):
        cuts = node.op_type in CUTS and node.input[0] in layers
        if node.op_type in LAYERS or cuts or not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]
