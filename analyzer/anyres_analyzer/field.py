"""How each tensor of a graph sees one axis of the image.

Every tensor that depends on pixels has a `Field`: the dimension in which the image's axis lives on
(counted from the end, so -2 is H of an (n, c, h, w) tensor), its reach, and the nodes on the way
that break locality. Where the axis is gone, pooled or flattened away, `dim` is None and a breaker
says by whom. What an operator does to a field is a row of `field_rules.RULES`; an operator without
a row is named as a breaker, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from anyres_analyzer.graph import Graph, Node
from anyres_analyzer.reach import IDENTITY, Reach
from anyres_analyzer.tensor import Tensor, Tensors

AXIS_NAMES = ("H", "W")


@dataclass(frozen=True)
class Breaker:
    """A node that makes an output pixel depend on more than its surroundings."""

    node: str
    reason: str

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


@dataclass(frozen=True)
class Field:
    """One image axis as one tensor sees it."""

    dim: int | None
    reach: Reach
    breakers: tuple[Breaker, ...] = ()

    def through(self, layer: Reach) -> Field:
        """This field after a local layer."""
        return replace(self, reach=layer.after(self.reach))

    def broken(self, node: Node, reason: str, *, dim: int | None = None) -> Field:
        """This field after a node that breaks locality."""
        breakers = (*self.breakers, Breaker(node.label, reason))
        return replace(self, dim=dim, breakers=breakers)

    def join(self, other: Field, node: Node) -> Field:
        """The field of two branches that meet in one node."""
        breakers = tuple(dict.fromkeys((*self.breakers, *other.breakers)))
        if self.dim is None or other.dim is None:
            local = other if self.dim is None else self
            return replace(local, breakers=breakers)
        if self.dim != other.dim or self.reach.scale != other.reach.scale:
            met = replace(self, breakers=breakers)
            return met.broken(
                node,
                "paths with different effective strides meet: "
                f"{self.reach.scale} and {other.reach.scale}",
                dim=self.dim,
            )
        return replace(self, reach=self.reach.union(other.reach), breakers=breakers)


@dataclass(frozen=True)
class Call:
    """One node with what it is given: fields of its inputs, and all tensors at two sizes.

    Two sizes show what depends on the size: a steering value or ratio that differs between them
    is no constant.
    """

    node: Node
    fields: tuple[Field | None, ...]
    small: Tensors
    large: Tensors

    @property
    def image(self) -> Field:
        """The field of the first input that depends on pixels."""
        return next(field for field in self.fields if field is not None)

    def tensor(self, index: int) -> Tensor | None:
        """Input `index` at the small size."""
        names = self.node.inputs
        return self.small[names[index]] if index < len(names) and names[index] else None

    def constant(self, index: int) -> tuple[float, ...] | None:
        """The value of steering input `index`, where it is the same at both sizes."""
        small, name = self.tensor(index), self.node.inputs[index : index + 1]
        if small is None or small.value is None:
            return None
        large = self.large[name[0]]
        same = large.value is not None and small.value.tolist() == large.value.tolist()
        return tuple(small.value.reshape(-1).tolist()) if same else None


Rule = Callable[[Call], Field]


def propagate(
    graph: Graph, axis: int, sizes: tuple[Tensors, Tensors], rules: Mapping[str, Rule]
) -> dict[str, Field]:
    """The field of every tensor that depends on pixels, along image axis 0 (H) or 1 (W)."""
    known = {graph.image.name: Field(dim=axis - 2, reach=IDENTITY)}
    for node in graph.nodes:
        fields = tuple(known.get(name) for name in node.inputs)
        if not any(fields) or node.op_type in ("Shape", "Size"):
            continue
        call = Call(node, fields, *sizes)
        rule = rules.get(node.op_type)
        field = _without_a_rule(call) if rule is None else rule(call)
        known.update(dict.fromkeys(node.outputs, field))
    return known


def _without_a_rule(call: Call) -> Field:
    return call.image.broken(call.node, f"no rule for operator {call.node.op_type}")
