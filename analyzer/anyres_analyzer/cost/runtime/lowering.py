"""The calls that ONNX Runtime's CPU provider makes of a graph.

Before it runs, it folds batch norms and fuses activations and residual sums into convolutions, and
computes convolutions and pools on maps whose channels are blocked. Between those and all other
operators stand copies from one layout to the other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.cost.runtime.blocks import (
    fills_blocks,
    is_blocked_concat,
    is_blocked_convolution,
    is_blocked_resize,
    reads_plain,
)
from anyres_analyzer.cost.runtime.buffers import Buffers, Maps, RuntimeCall
from anyres_analyzer.cost.runtime.extents import Extents, after_window, fresh
from anyres_analyzer.cost.runtime.folding import Folding
from anyres_analyzer.cost.runtime.order import as_visited
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensors


@dataclass(frozen=True)
class Lowered:
    """The calls in order, and the buffers that are the graph's outputs.

    `static`: every size is known before the image is.
    """

    calls: tuple[RuntimeCall, ...]
    outputs: frozenset[str]
    static: bool


def lowered(graph: Graph, tensors: Tensors) -> Lowered:
    """At the size that these tensors were walked at."""
    return _Lowering(graph, tensors).run()


class _Lowering:
    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        self._graph, self._tensors = graph, tensors
        self._static = all(isinstance(dim, int) for dim in graph.image.dims)
        self._folding = Folding(graph, tensors)
        self._buffers = Buffers(graph, tensors)
        self._uses = Counter(name for node in graph.nodes for name in set(node.inputs))
        self._uses.update(output.name for output in graph.outputs)
        self._linear: dict[str, str] = {}  # what a convolution makes, as it is -> the operator
        self._activable: set[str] = set()  # buffers of convolutions without an activation
        self._summable: set[str] = set()  # buffers of blocked convolutions that add nothing
        self._skipped: dict[str, str] = {}  # tensor that is never made -> what its reader reads

    def run(self) -> Lowered:
        for node in as_visited(self._graph):
            if not all(name in self._graph.origins for name in node.made):
                self._lower(node)
        made = (out.name for out in self._graph.outputs if self._buffers.holds(out.name))
        outputs = map(self._buffers.as_plain, made)  # others are constants, and lie with those
        return Lowered(outputs=frozenset(outputs), calls=self._buffers.calls, static=self._static)

    def _lower(self, node: Node) -> None:
        names = dict.fromkeys(self._skipped.get(name, name) for name in node.inputs)
        maps = tuple(name for name in names if self._buffers.holds(name))
        rules = (self._gone, self._convolution, self._activation, self._sum, self._kept_blocked)
        if not any(rule(node, maps) for rule in rules):
            self._plainly(node, maps)

    def _plainly(self, node: Node, maps: Maps) -> None:
        self._buffers.make_plain(node, tuple(self._buffers.as_plain(name) for name in maps))

    def _gone(self, node: Node, maps: Maps) -> bool:
        """It takes no turn of its own."""
        made = node.made[0]
        if node.op_type in facts.VIEWS and self._may_be_a_view(made, maps[0]):
            self._buffers.view(node, tuple(self._buffers.as_plain(name) for name in maps))
            return True
        if len(maps) != 1:
            return False
        source = maps[0]
        if self._is_nothing(node, source) or self._folding.is_padding_of_a_convolution(node):
            self._buffers.alias(made, source)
        elif self._is_part_of_weights(node, source):
            self._buffers.alias(made, source)
            self._linear[made] = self._linear[source]
        elif self._folding.is_half_of_its_reader(node):
            self._skipped[made] = source
        else:
            return False
        return True

    def _is_nothing(self, node: Node, source: str) -> bool:
        """Unless it has to copy the caller's image for the caller."""
        outputs = {output.name for output in self._graph.outputs}
        copies = self._buffers.of(source) == self._graph.image.name and node.made[0] in outputs
        return node.op_type in facts.GONE and not copies

    def _is_part_of_weights(self, node: Node, source: str) -> bool:
        maker = self._linear.get(source)
        if maker is None or self._uses[source] != 1:
            return False
        return self._folding.is_part_of_weights(node, maker)

    def _may_be_a_view(self, made: str, source: str) -> bool:
        outputs = {output.name for output in self._graph.outputs}
        return made not in outputs and self._buffers.of(source) != self._graph.image.name

    def _convolution(self, node: Node, maps: Maps) -> bool:
        if node.op_type not in ("Conv", "ConvTranspose"):
            return False
        made = node.made[0]
        if self._is_blocked_convolution(node):
            buffer = self._blocked_convolution(node, maps[0])
            self._summable.add(buffer)
            self._activable.add(buffer)
        else:
            self._plainly(node, maps)
            self._activable.update({made} if node.op_type == "Conv" else ())
        self._linear[made] = node.op_type
        return True

    def _is_blocked_convolution(self, node: Node) -> bool:
        if node.op_type != "Conv" or node.inputs[1] not in self._graph.origins:
            return False
        weight, made = self._tensors[node.inputs[1]], self._tensors[node.made[0]]
        return is_blocked_convolution(node, weight, made)

    def _blocked_convolution(self, node: Node, image: str) -> str:
        buffers, weight = self._buffers, self._tensors[node.inputs[1]]
        if reads_plain(node, weight):
            return buffers.make_blocked(node, (buffers.as_plain(image),), fresh(node.made[0]))
        extents = self._after_window(node, image, weight.shape)
        return buffers.make_blocked(node, (buffers.as_blocked(image),), extents)

    def _after_window(self, node: Node, image: str, weight: tuple[int, ...] | None) -> Extents:
        if not self._buffers.is_blocked(image):
            return fresh(node.made[0])
        return after_window(node, weight, self._buffers.extents(image))

    def _activation(self, node: Node, maps: Maps) -> bool:
        """Of a convolution's output that nobody else reads."""
        if node.op_type not in facts.FUSED_ACTIVATIONS or self._uses[maps[0]] != 1:
            return False
        buffer = self._buffers.of(maps[0])
        if buffer not in self._activable:
            return False
        self._activable.remove(buffer)
        self._summable.discard(buffer)
        self._buffers.alias(node.made[0], maps[0])
        return True

    def _sum(self, node: Node, maps: Maps) -> bool:
        """That the first of two convolutions adds its own output to, which it waits for."""
        if node.op_type not in ("Add", "Sum") or len(maps) != 2 or not self._are_alike(maps):
            return False
        for name, other in (maps, maps[::-1]):
            buffer = self._buffers.of(name)
            if buffer in self._summable and self._uses[name] == 1:
                self._buffers.accumulate(buffer, self._buffers.of(other))
                self._summable.remove(buffer)
                self._buffers.alias(node.made[0], name)
                return True
        return False

    def _are_alike(self, maps: Maps) -> bool:
        """Blocked, and known beforehand to be of one size."""
        if not all(self._buffers.is_blocked(name) for name in maps):
            return False
        shapes = {self._tensors[name].shape for name in maps}
        known = self._static or len({self._buffers.extents(name) for name in maps}) == 1
        return len(shapes) == 1 and known

    def _kept_blocked(self, node: Node, maps: Maps) -> bool:
        """Any other operator on blocked maps."""
        if not maps or not self._keeps_blocks(node, maps):
            return False
        reads = tuple(self._buffers.as_blocked(name) for name in maps)
        reshaped = node.op_type in ("Add", "Sum") and not self._are_alike(maps)
        extents = self._extents_after(node, maps)
        buffer = self._buffers.make_blocked(node, reads, extents, reshaped=reshaped)
        if node.op_type == "BatchNormalization":  # computed as a depthwise convolution
            self._activable.add(buffer)
        return True

    def _keeps_blocks(self, node: Node, maps: Maps) -> bool:
        before = [self._tensors[name] for name in maps]
        kind = node.op_type
        if kind in facts.BLOCKED_POOLS:
            return len(node.made) == 1 and fills_blocks(before[0])
        if not all(self._buffers.is_blocked(name) for name in maps):
            return False
        if kind in ("Resize", "Upsample"):
            made = self._tensors[node.made[0]]
            return is_blocked_resize(self._graph, node, before[0], made, static=self._static)
        if kind in facts.BLOCKED_GLOBAL_POOLS:
            return fills_blocks(before[0])
        if kind in facts.BLOCKED_ACTIVATIONS or kind == "BatchNormalization":
            return len(node.made) == 1
        if any(name in self._graph.origins for name in node.inputs):
            return False
        sums = kind in ("Add", "Sum") and len({tensor.shape[1] for tensor in before}) == 1
        products = kind == "Mul" and self._are_alike(maps)
        return sums or products or (kind == "Concat" and is_blocked_concat(node, before))

    def _extents_after(self, node: Node, maps: Maps) -> Extents:
        if node.op_type in facts.BLOCKED_POOLS:
            return self._after_window(node, maps[0], None)
        same = {"Concat", "BatchNormalization"} | facts.BLOCKED_ACTIVATIONS
        if node.op_type in same or (node.op_type in _BINARY and self._are_alike(maps)):
            return self._buffers.extents(maps[0])
        return fresh(node.made[0])


_BINARY = {"Add", "Mul", "Sum"}
