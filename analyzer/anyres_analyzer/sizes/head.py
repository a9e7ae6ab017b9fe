"""What the fields add to a size contract: why an axis is pinned, and what is not known.

A classifier pools its map and feeds the pooled vector to a fully connected layer. Pooling takes any
size, so no operator refuses another one; but the answer is one for the whole image, learned at one
size, and its export pins the input. The node that makes it so is the head, and a refusal should
name it. A number that an export keeps of the traced size (a Resize to 512 pixels, the cells that an
adaptive pool picks, the window of a pool that was the whole map) lets other sizes through and is
right at few: the verdict is "unsafe", and the sizes are those it was made for, as far as they can
be told. And where an operator without a rule stands between image and output, that sizes go through
says nothing of what comes out: the verdict is "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from anyres_analyzer.field.breaker import Breaker, Effect, MadeFor
from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.sizes.inverse import sizes_giving
from anyres_analyzer.sizes.pooling import whole_maps
from anyres_analyzer.sizes.trial import Extent

_FULLY_CONNECTED = ("Gemm", "MatMul")


def explained(
    contract: AxisContract, graph: Graph, fields: Mapping[str, Field], extent: Extent
) -> AxisContract:
    """The same sizes, with the verdict and the reason that the output's field gives.

    `extent` says how long a tensor is in a dimension when the image has a size along the axis.
    """
    found = [fields[output.name] for output in graph.outputs if output.name in fields]
    if not found:
        return contract
    output = found[0]
    baked = next((b for f in found for b in f.breakers if b.effect is Effect.BAKED), None)
    if contract.maximum is None and baked is not None:
        return _made_for_one_size(contract, baked, extent)
    if contract.maximum is not None:
        contract = whole_maps(contract, graph, fields, extent)
    stranger = next((b for b in output.breakers if b.effect is Effect.UNKNOWN), None)
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


def _made_for_one_size(contract: AxisContract, baked: Breaker, extent: Extent) -> AxisContract:
    reason = f"{baked.reason}, so other sizes go through and are wrong"
    unsafe = replace(contract, verdict="unsafe", node=baked.node, reason=reason)
    right = _right_sizes(baked.made_for, extent) if baked.made_for else range(0)
    taken = [size for size in right if contract.admits(size)]
    if not taken:
        return unsafe
    return replace(unsafe, minimum=taken[0], maximum=taken[-1], also=())


def _right_sizes(made_for: MadeFor, extent: Extent) -> range:
    return sizes_giving(made_for.extent, lambda size: extent(made_for.tensor, made_for.dim, size))


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
