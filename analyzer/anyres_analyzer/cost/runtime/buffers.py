"""The buffers that tensors lie in, plain or blocked, and the calls that make them.

    image --Conv--> a#  --MaxPool--> b#  ...          blocked maps are marked with #
                    a#  --ReorderOutput--> a  --Concat--> c  --ReorderInput--> c#  --Conv--> ...

A tensor can so have two buffers, `name` and `name` blocked, or none, where it is never made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.cost.runtime.blocks import blocked_bytes
from anyres_analyzer.cost.runtime.extents import Extents, fresh
from anyres_analyzer.cost.runtime.order import depth_first
from anyres_analyzer.cost.runtime.workspace import workspace_bytes
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors

Maps = tuple[str, ...]


@dataclass(frozen=True)
class RuntimeCall:
    """One kernel's turn: the buffers it reads, the one it makes, and what it takes meanwhile.

    `since` tells which of two nodes was put into the graph later: the file's or the optimizer's.
    What it reads is made ready by that, or `listed` as it stands. With `shares` it makes nothing,
    and its output is what it reads first.
    """

    node: str
    reads: Maps
    makes: str
    bytes: int
    since: int
    workspace_bytes: int = 0
    may_overwrite: Maps = ()
    listed: bool = False
    shares: bool = False


class Buffers:
    """What has been made so far. Its methods take names of tensors and return names of buffers."""

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        self._tensors = tensors
        self._places = {node.made[0]: place for place, node in enumerate(graph.nodes)}
        self._calls: dict[str, RuntimeCall] = {}  # by the buffer that it makes
        self._plain = {graph.image.name: graph.image.name}
        self._blocked: dict[str, str] = {}
        self._extents: dict[str, Extents] = {}

    @property
    def calls(self) -> tuple[RuntimeCall, ...]:
        """In the order they run."""
        calls = list(self._calls.values())
        makers = {call.makes: index for index, call in enumerate(calls)}
        sources = []
        for call in calls:
            made = [makers[name] for name in dict.fromkeys(call.reads) if name in makers]
            sources.append(made if call.listed else sorted(made, key=lambda at: calls[at].since))
        return tuple(calls[index] for index in depth_first(sources))

    def holds(self, name: str) -> bool:
        """Whether this tensor is a map that has been made, and no weight."""
        return name in self._plain or name in self._blocked

    def is_blocked(self, name: str) -> bool:
        """Whether it was made blocked."""
        return name in self._blocked

    def of(self, name: str) -> str:
        """The buffer that it was made in, or copied into first."""
        return self._blocked.get(name) or self._plain[name]

    def extents(self, name: str) -> Extents:
        """What is known of a map's size beforehand."""
        return self._extents.get(name) or fresh(name)

    def alias(self, made: str, source: str) -> None:
        """One tensor is in all that another is."""
        for known in (self._plain, self._blocked):
            if source in known:
                known[made] = known[source]
        self._extents[made] = self.extents(source)

    def view(self, node: Node, reads: Maps) -> None:
        """A tensor is the same numbers in a different shape."""
        made = node.made[0]
        self._plain[made] = made
        self._add(RuntimeCall(node.label, reads, made, 0, self._places[made], shares=True))

    def as_plain(self, name: str) -> str:
        """Copied from the blocked buffer where there is none."""
        if name not in self._plain:
            self._plain[name] = name
            reads, size, last = (self._blocked[name],), self._bytes(name), self._now(2)
            self._add(RuntimeCall(f"'{name}' (ReorderOutput)", reads, name, size, last))
        return self._plain[name]

    def as_blocked(self, name: str) -> str:
        """Copied from the plain buffer where there is none."""
        if name not in self._blocked:
            self._blocked[name] = f"{name}#"
            size, reads = blocked_bytes(self._tensors[name]), (self._plain[name],)
            label = f"'{name}' (ReorderInput)"
            self._add(RuntimeCall(label, reads, f"{name}#", size, self._now()))
        return self._blocked[name]

    def make_blocked(
        self, node: Node, reads: Maps, extents: Extents, *, reshaped: bool = False
    ) -> str:
        """The blocked buffer of what a node makes of buffers, `reshaped` to be added."""
        made = node.made[0]
        size, over = blocked_bytes(self._tensors[made]), _overwritable(node, reads)
        kept = node.op_type in facts.KEPT_NODES and not reshaped
        since = self._places[made] if kept else self._now()
        self._blocked[made], self._extents[made] = f"{made}#", extents
        self._add(RuntimeCall(node.label, reads, f"{made}#", size, since, 0, over, listed=reshaped))
        return f"{made}#"

    def make_plain(self, node: Node, reads: Maps) -> None:
        """The plain buffers of all that a node makes of buffers."""
        for index, made in enumerate(node.made):
            taken = 0 if index else workspace_bytes(node, self._tensors)
            since, over = self._places[node.made[0]], _overwritable(node, reads)
            self._plain[made], size = made, self._bytes(made)
            self._add(RuntimeCall(node.label, reads, made, size, since, taken, over))

    def accumulate(self, buffer: str, addend: str) -> None:
        """The call that makes this buffer waits for another, and adds its own to that."""
        call = self._calls[buffer]
        self._add(replace(call, reads=(*call.reads, addend), may_overwrite=(addend,)))

    def _now(self, round_: int = 1) -> int:
        """After the file's nodes; copies back come in a second round."""
        return round_ * 2 * len(self._places) + len(self._calls)

    def _add(self, call: RuntimeCall) -> None:
        self._calls[call.makes] = call

    def _bytes(self, name: str) -> int:
        return self._tensors[name].bytes


def _overwritable(node: Node, reads: Maps) -> Maps:
    return reads if node.op_type in facts.IN_PLACE else ()
