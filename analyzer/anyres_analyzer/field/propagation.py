"""Follows an image axis through a graph, one node after the other, by the rules of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from anyres_analyzer.field.breaker import Effect
from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors


@dataclass(frozen=True)
class Samples:
    """All tensors at three sizes, which show what depends on the size.

    `near` and `far` are of the residue that tiles have, `odd` is of another.
    """

    near: Tensors
    far: Tensors
    odd: Tensors

    def __iter__(self) -> Iterator[Tensors]:
        return iter((self.near, self.far, self.odd))

    @property
    def one_size(self) -> bool:
        """Whether nothing is known yet of other sizes."""
        return self.near is self.far


@dataclass(frozen=True)
class Call:
    """One node with what it is given: the fields of its inputs, and all tensors at some sizes."""

    node: Node
    fields: tuple[Field | None, ...]
    samples: Samples
    opset: int
    surplus: Fraction | None  # S * n - N of the first input with a field; None where it varies
    source: str  # the graph's image ...
    axis: int  # ... and its dimension that is followed, from the end

    @property
    def image(self) -> Field:
        """The field of the first input that depends on pixels."""
        return next(field for field in self.fields if field is not None)

    @property
    def rank(self) -> int:
        """How many dimensions that input has."""
        index = next(i for i, field in enumerate(self.fields) if field is not None)
        return len(self.samples.near[self.node.inputs[index]].shape)

    def tensor(self, index: int) -> Tensor | None:
        """Input `index`, where it is given."""
        names = self.node.inputs
        return self.samples.near[names[index]] if index < len(names) and names[index] else None

    def varies(self, index: int) -> bool:
        """Whether an input that depends on no pixel is not the same at every size."""
        near, *others = (tensors[self.node.inputs[index]] for tensors in self.samples)
        return not all(near.same_as(other) for other in others)

    def constant(self, index: int) -> tuple[float, ...] | None:
        """The value of steering input `index`, where it is the same at every size."""
        values = self.values(index)
        return values[0] if values and all(value == values[0] for value in values) else None

    def values(self, index: int) -> tuple[tuple[float, ...], ...]:
        """The value of steering input `index` at each size; empty where it is not known."""
        if self.tensor(index) is None:
            return ()
        found = [tensors[self.node.inputs[index]].value for tensors in self.samples]
        return tuple(tuple(value.reshape(-1).tolist()) for value in found if value is not None)


Rule = Callable[[Call], Field]


def propagate(
    graph: Graph, axis: int, samples: Samples, rules: Mapping[str, Rule]
) -> dict[str, Field]:
    """The field of every tensor that depends on pixels, along image axis 0 (H) or 1 (W)."""
    image = graph.image.name
    dim = graph.layout.sides[axis]
    known = {image: Field(dim=dim)}
    pixels = [tensors[image].shape[dim] for tensors in (samples.near, samples.far)]

    def surplus(name: str, seen: Field) -> Fraction | None:
        """S * n - N of a tensor whose extent follows the image's, else None."""
        if seen.dim is None:
            return None
        advance, phases = seen.reach.advance, len(seen.reach.phases)
        near, far = (
            advance * tensors[name].shape[seen.dim] - phases * size
            for tensors, size in zip((samples.near, samples.far), pixels, strict=True)
        )
        return Fraction(near, phases) if near == far else None

    def unchanged(name: str, own: Field, given: str, field: Field) -> bool:
        """Whether an output has the very field of an input, and its cells."""
        if own is not field or own.dim is None:
            return False
        return samples.near[name].shape[own.dim] == samples.near[given].shape[own.dim]

    for node in graph.nodes:
        read = node.inputs[: _READ.get(node.op_type)]
        fields = tuple(known.get(name) if name in read else None for name in node.inputs)
        if not any(fields) or node.op_type in ("Shape", "Size"):
            continue
        first = next((n, f) for n, f in zip(node.inputs, fields, strict=True) if f is not None)
        call = Call(node, fields, samples, graph.opset, surplus(*first), image, dim)
        rule = rules.get(node.op_type)
        made = _without_a_rule(call) if rule is None else rule(call)
        if made.flat and node.op_type not in _IN_ORDER:
            made = replace(made, flat=None)
        for index, name in enumerate(node.made):
            own = made if index == 0 or node.op_type in _ALIKE else _beside(made, node)
            same = unchanged(name, own, *first)
            known[name] = own if same else _extended(own, node, surplus(name, own))
    return known


# What leaves the numbers of a flattened map in their order, whatever it makes of them.
_IN_ORDER = frozenset(
    {
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast"),
        *("InstanceNormalization", "LayerNormalization", "BatchNormalization"),
        *("Add", "Sub", "Mul", "Div", "Relu", "Sigmoid"),
    }
)
_READ = {"CastLike": 1}  # how many inputs are read for their numbers; of the rest the type counts
_ALIKE = frozenset({"Split", "TopK"})  # whose further outputs see what the first one sees


def _beside(made: Field, node: Node) -> Field:
    """A further output: the indices of a pool, the statistics of a norm."""
    return made.unknown(node, "no rule for its further outputs")


def _extended(made: Field, node: Node, surplus: Fraction | None) -> Field:
    if made.dim is None or made.breakers:
        return made
    if surplus is None:
        return made.broken(
            node,
            "its output's size does not follow the image's",
            dim=made.dim,
            effect=Effect.STRIDES,
        )
    return made.standing(surplus)


def _without_a_rule(call: Call) -> Field:
    return call.image.unknown(call.node, f"no rule for operator {call.node.op_type}")
