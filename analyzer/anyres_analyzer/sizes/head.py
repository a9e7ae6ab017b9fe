"""What the fields add to a size contract: why an axis is pinned, and what is not known.

A classifier pools its map and feeds the pooled vector to a fully connected layer. Pooling takes any
size, so no operator refuses another one; but the answer is one for the whole image, learned at one
size, and its export pins the input. The node that makes it so is the head, and a refusal should
name it. And where an operator without a rule stands between image and output, that sizes go through
says nothing of what comes out: the verdict is "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from anyres_analyzer.field.breaker import Breaker, Effect
from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.sizes.contract import AxisContract

_FULLY_CONNECTED = ("Gemm", "MatMul")


def explained(contract: AxisContract, graph: Graph, fields: Mapping[str, Field]) -> AxisContract:
    """The same sizes, with the verdict and the reason that the output's field gives."""
    output = fields.get(graph.outputs[0].name)
    if output is None:
        return contract
    stranger = next(
        (breaker for breaker in output.breakers if breaker.effect is Effect.UNKNOWN), None
    )
    if contract.maximum is None and stranger is not None:
        return replace(
            contract,
            verdict="unknown",
            node=stranger.node,
            reason=f"{stranger.reason}: sizes go through, but what they give is not known",
        )
    head = _head(graph, fields, output.lost)
    if contract.node is not None or contract.maximum is None or output.lost is None or head is None:
        return contract
    return replace(
        contract,
        node=head.label,
        reason=(
            f"it is a fully connected head with one answer for the whole image, behind "
            f"{output.lost}, and the input is declared {contract.minimum}"
        ),
    )


def _head(graph: Graph, fields: Mapping[str, Field], lost: Breaker | None) -> Node | None:
    """The first fully connected layer behind the node where the output's axis ends."""
    behind = (
        node
        for node in graph.nodes
        if node.op_type in _FULLY_CONNECTED
        and (field := fields.get(node.inputs[0])) is not None
        and field.lost == lost
    )
    return next(behind, None)
