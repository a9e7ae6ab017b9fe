"""Why a pinned axis is pinned: the FC head behind an input that declares one size.

A classifier pools its map and feeds the pooled vector to a fully connected layer. Pooling takes any
size, so no operator refuses another one; but the answer is one for the whole image, learned at one
size, and its export pins the input. The node that makes it so is the head, and a refusal should
name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from anyres_analyzer.contract import AxisContract
from anyres_analyzer.field import Field
from anyres_analyzer.graph import Graph, Node

_FULLY_CONNECTED = ("Gemm", "MatMul")


def explained(contract: AxisContract, graph: Graph, fields: Mapping[str, Field]) -> AxisContract:
    """The same contract, with the head named where nothing else decides a fixed axis."""
    head = _head(graph, fields)
    if contract.verdict != "fixed" or contract.node is not None or head is None:
        return contract
    node, field = head
    return replace(
        contract,
        node=node.label,
        reason=(
            f"it is a fully connected head behind {field.breakers[0].node}, which pools the whole "
            f"map into one answer, and the input is declared {contract.minimum}"
        ),
    )


def _head(graph: Graph, fields: Mapping[str, Field]) -> tuple[Node, Field] | None:
    """The first fully connected layer behind the node where the axis ends."""
    for node in graph.nodes:
        field = fields.get(node.inputs[0]) if node.inputs else None
        if node.op_type in _FULLY_CONNECTED and field and field.dim is None and field.breakers:
            return node, field
    return None
