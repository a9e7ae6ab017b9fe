"""Pools whose window was the whole map when the network was made.

Global pooling is often exported as a pool of the traced map's size: `AveragePool` of 7 cells, with
a stride of 7. Of a map of 8 to 13 cells it makes one as well, of the first 7, and the classifier
behind it notices nothing. So of the sizes that a head takes, those are right whose whole map is
pooled.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.graph.window import window_of
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.sizes.trial import Extent

_POOLS = ("AveragePool", "LpPool", "MaxPool")


@dataclass(frozen=True)
class _Pool:
    node: Node
    dim: int
    reads: int  # cells of the map at most, where it makes one

    def ignores(self, size: int, extent: Extent) -> int:
        """How many cells of the map it never reads, where it makes one of all."""
        if extent(self.node.made[0], self.dim, size) != 1:
            return 0
        return max(0, extent(self.node.inputs[0], self.dim, size) - self.reads)


def whole_maps(
    contract: AxisContract, graph: Graph, fields: Mapping[str, Field], extent: Extent
) -> AxisContract:
    """The sizes of a bounded contract whose maps are pooled whole, where some are not."""
    assert contract.maximum is not None, "an open axis has no head"
    sizes = range(contract.minimum, contract.maximum + 1, contract.step)
    for pool in _pools(graph, fields):
        ignored = pool.ignores(sizes[-1], extent)
        right = bisect_right(sizes, 0, key=lambda size: pool.ignores(size, extent))
        if ignored and right:
            reason = (
                f"its window of {pool.reads} cells was the whole map; of a larger one it leaves "
                f"out up to {ignored}, so other sizes go through and are wrong"
            )
            return replace(
                contract,
                verdict="unsafe",
                maximum=sizes[right - 1],
                node=pool.node.label,
                reason=reason,
            )
    return contract


def _pools(graph: Graph, fields: Mapping[str, Field]) -> Iterator[_Pool]:
    for node in graph.nodes:
        field = fields.get(node.made[0]) if node.op_type in _POOLS else None
        if field is not None and field.dim in (-2, -1):
            window = window_of(node, field.dim + 2)
            if not window.same:
                reads = window.extent - window.pad_before - window.pad_after
                yield _Pool(node, field.dim, reads)
