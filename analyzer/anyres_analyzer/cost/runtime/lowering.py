"""The calls that ONNX Runtime's CPU provider makes of a graph, with the buffers that they take.

Before it runs, it folds batch norms and fuses activations and residual sums into convolutions, and
computes convolutions and pools on maps whose channels are blocked. Between those and all other
operators stand copies from one layout to the other. A tensor of the graph can so have two buffers,
`name` and `name` blocked, or none.

    image --Conv--> a#  --MaxPool--> b#  ...          blocked maps are marked with #
                    a#  --ReorderOutput--> a  --Concat--> c  --ReorderInput--> c#  --Conv--> ...
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from onnx import TensorProto

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors


@dataclass(frozen=True)
class RuntimeCall:
    """One kernel's turn: the buffers it reads, the one it makes, and what it takes meanwhile."""

    node: str
    reads: tuple[str, ...]
    makes: str
    bytes: int
    workspace_bytes: int = 0
    may_overwrite: tuple[str, ...] = ()


def lowered(graph: Graph, tensors: Tensors) -> tuple[RuntimeCall, ...]:
    """The calls in order, at the size that these tensors were walked at."""
    return _Lowering(graph, tensors).calls()


class _Lowering:
    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        self._graph = graph
        self._tensors = tensors
        self._uses = Counter(name for node in graph.nodes for name in set(node.inputs))
        self._uses.update(output.name for output in graph.outputs)
        self._calls: list[RuntimeCall] = []
        self._plain = {graph.image.name: graph.image.name}  # tensor -> its plain buffer
        self._blocked: dict[str, str] = {}  # tensor -> its blocked buffer
        self._open: dict[str, int] = {}  # blocked buffer -> the convolution that may take more

    def calls(self) -> tuple[RuntimeCall, ...]:
        for node in self._graph.nodes:
            if not all(name in self._graph.origins for name in node.made):
                self._lower(node)
        for output in self._graph.outputs:
            self._as_plain(output.name)
        return tuple(self._calls)

    def _lower(self, node: Node) -> None:
        maps = tuple(n for n in node.inputs if n in self._plain or n in self._blocked)
        if node.op_type in facts.FOLDED and len(maps) == 1:
            self._alias(node.made[0], maps[0])
            return
        for blocked in (self._convolution, self._fused, self._summed, self._kept_blocked):
            if blocked(node, maps):
                return
        self._other(node, maps)

    def _alias(self, made: str, source: str) -> None:
        for buffers in (self._plain, self._blocked):
            if source in buffers:
                buffers[made] = buffers[source]

    def _convolution(self, node: Node, maps: tuple[str, ...]) -> bool:
        if node.op_type != "Conv" or not self._is_blockable(node):
            return False
        image, per_group = node.inputs[0], self._tensors[node.inputs[1]].shape[1]
        few = node.attributes.get("group", 1) == 1 and per_group < facts.CHANNEL_BLOCK
        source = self._as_plain(image) if few else self._as_blocked(image)
        self._make_blocked(node, (source,))
        self._open[self._blocked[node.made[0]]] = len(self._calls) - 1
        return True

    def _is_blockable(self, node: Node) -> bool:
        """By the channels of a group: all of them, one (depthwise), or whole blocks."""
        made, weight = self._tensors[node.made[0]], self._tensors[node.inputs[1]]
        groups, per_group = node.attributes.get("group", 1), weight.shape[1]
        if made.elem_type != TensorProto.FLOAT or len(made.shape) != 4:
            return False
        whole = (per_group % facts.CHANNEL_BLOCK, weight.shape[0] // groups % facts.CHANNEL_BLOCK)
        return groups == 1 or (per_group == 1 and weight.shape[0] == groups) or whole == (0, 0)

    def _fused(self, node: Node, maps: tuple[str, ...]) -> bool:
        """An activation of a convolution's output that nobody else reads."""
        if node.op_type not in facts.FUSED_ACTIVATIONS or not self._takes_more(maps[0]):
            return False
        del self._open[self._blocked[maps[0]]]
        self._alias(node.made[0], maps[0])
        return True

    def _summed(self, node: Node, maps: tuple[str, ...]) -> bool:
        """A sum that the later of two convolutions adds its output to; it then runs here."""
        if node.op_type not in ("Add", "Sum") or len(maps) != 2 or not self._same_blocked(maps):
            return False
        last = next((name for name in reversed(maps) if self._takes_more(name)), None)
        if last is None:
            return False
        other = maps[0] if last == maps[1] else maps[1]
        convolution = self._calls.pop(self._open.pop(self._blocked[last]))
        self._open = {b: at for b, at in self._open.items() if at < len(self._calls)}
        addend = self._blocked[other]
        self._calls.append(
            replace(convolution, reads=(*convolution.reads, addend), may_overwrite=(addend,))
        )
        self._open[self._blocked[last]] = len(self._calls) - 1
        self._alias(node.made[0], last)
        return True

    def _takes_more(self, name: str) -> bool:
        return (
            self._blocked.get(name) in self._open
            and name not in self._plain
            and self._uses[name] == 1
        )

    def _same_blocked(self, maps: tuple[str, ...]) -> bool:
        shapes = {self._tensors[name].shape for name in maps}
        return len(shapes) == 1 and all(name in self._blocked for name in maps)

    def _kept_blocked(self, node: Node, maps: tuple[str, ...]) -> bool:
        """Operators that take blocked maps as they are."""
        if not maps or any(name not in self._blocked for name in maps):
            return False
        keeps = _KEEPS_BLOCKED.get(node.op_type)
        if keeps is None or not keeps(node, [self._tensors[n] for n in (*maps, node.made[0])]):
            return False
        self._make_blocked(node, tuple(self._blocked[name] for name in maps))
        return True

    def _other(self, node: Node, maps: tuple[str, ...]) -> None:
        reads = tuple(self._as_plain(name) for name in maps)
        overwritable = reads if node.op_type in facts.IN_PLACE else ()
        for index, made in enumerate(node.made):
            workspace = self._workspace_bytes(node) if index == 0 else 0
            self._plain[made] = made
            self._call(node.label, reads, made, self._tensors[made].bytes, workspace, overwritable)

    def _workspace_bytes(self, node: Node) -> int:
        """A transposed convolution's columns: (Co / g) * kh * kw rows for every input pixel."""
        if node.op_type != "ConvTranspose":
            return 0
        image, weight = self._tensors[node.inputs[0]], self._tensors[node.inputs[1]]
        return prod(weight.shape[1:]) * prod(image.shape[2:]) * facts.FLOAT_BYTES

    def _make_blocked(self, node: Node, reads: tuple[str, ...]) -> None:
        made = node.made[0]
        self._blocked[made] = f"{made}#"
        overwritable = reads if node.op_type in facts.IN_PLACE else ()
        size = _blocked_bytes(self._tensors[made])
        self._call(node.label, reads, f"{made}#", size, 0, overwritable)

    def _as_plain(self, name: str) -> str:
        """The plain buffer of a tensor; copied from the blocked one where there is none."""
        if name not in self._plain and name in self._blocked:
            self._plain[name] = name
            size = self._tensors[name].bytes
            self._call(f"'{name}' (ReorderOutput)", (self._blocked[name],), name, size)
        return self._plain.get(name, name)

    def _as_blocked(self, name: str) -> str:
        if name not in self._blocked:
            self._blocked[name] = f"{name}#"
            size, plain = _blocked_bytes(self._tensors[name]), self._plain.get(name, name)
            self._call(f"'{name}' (ReorderInput)", (plain,), f"{name}#", size)
        return self._blocked[name]

    def _call(
        self,
        node: str,
        reads: tuple[str, ...],
        makes: str,
        size: int,
        workspace: int = 0,
        may_overwrite: tuple[str, ...] = (),
    ) -> None:
        self._calls.append(RuntimeCall(node, reads, makes, size, workspace, may_overwrite))


def _blocked_bytes(tensor: Tensor) -> int:
    batch, channels, *pixels = tensor.shape
    rounded = -(-channels // facts.CHANNEL_BLOCK) * facts.CHANNEL_BLOCK
    return batch * rounded * prod(pixels) * facts.FLOAT_BYTES


Shapes = list[Tensor]  # of the maps that are read, and of what is made


def _always(node: Node, shapes: Shapes) -> bool:
    return True


def _of_one_shape(node: Node, shapes: Shapes) -> bool:
    return len({tensor.shape for tensor in shapes}) == 1


def _of_whole_blocks(node: Node, shapes: Shapes) -> bool:
    channels = {tensor.shape[1] % facts.CHANNEL_BLOCK for tensor in shapes}
    return node.attributes["axis"] in (1, -3) and channels == {0}


def _by_whole_factors(node: Node, shapes: Shapes) -> bool:
    """Enlarged, by a number of pixels for each."""
    before, after = (tensor.shape for tensor in shapes)
    mode = node.attributes.get("mode", b"nearest")
    whole = all(n % o == 0 for n, o in zip(after[2:], before[2:], strict=True))
    return whole and before[:2] == after[:2] and mode in (b"nearest", b"linear")


_KEEPS_BLOCKED: dict[str, Callable[[Node, Shapes], bool]] = {
    **dict.fromkeys(facts.BLOCKED_POOLS, _always),
    **dict.fromkeys(facts.BLOCKED_ELEMENTWISE, _of_one_shape),
    **dict.fromkeys(("Resize", "Upsample"), _by_whole_factors),
    "Concat": _of_whole_blocks,
}
