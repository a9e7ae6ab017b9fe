"""How each tensor of a graph sees one axis of the image.

Every tensor that depends on pixels has a `Field`: the dimension in which the image's axis lives on
(counted from the end, so -2 is H of an (n, c, h, w) tensor), its reach, and the nodes on the way
that break locality. Where the axis is gone, pooled or flattened away, `dim` is None and `lost` says
by whom. What an operator does to a field is a row of `field_rules.RULES`; an operator without a row
is named as a breaker of unknown effect, never guessed.

A tile must hold more than the pixels that are read: a cell on the way may read none (a phase of a
transposed convolution is its bias alone) or lie beside its pixels (after a crop), and still be read
by the next layer. So a field also has its `cover`: the stretch of image that a tile must hold for
every cell on the way to exist in it. Cell `j` of a tensor of stride S with n cells at N pixels is
there when the tile begins at S * j or before and goes on to S * (j + 1) - (S * n - N).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from anyres_analyzer.field.reach import IDENTITY, Reach
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors


@dataclass(frozen=True)
class Breaker:
    """A node that makes an output pixel depend on more than its surroundings.

    `known` is False where there is no rule for the operator, so that nothing is known.
    """

    node: str
    reason: str
    known: bool = True

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


@dataclass(frozen=True)
class Field:
    """One image axis as one tensor sees it.

    `mirrors` is what reflected padding asks of a tile at the image's border: the halo before its
    core, and its length from the image's beginning.
    """

    dim: int | None
    reach: Reach = IDENTITY
    cover: Reach = IDENTITY
    mirrors: tuple[int, int] = (0, 0)
    breakers: tuple[Breaker, ...] = ()
    lost: Breaker | None = None

    def through(self, layer: Reach) -> Field:
        """This field after a local layer."""
        return replace(self, reach=layer.after(self.reach), cover=layer.after(self.cover))

    def broken(self, node: Node, reason: str, *, dim: int | None = None) -> Field:
        """This field after a node that breaks locality; without `dim` the axis ends there."""
        return self._after(Breaker(node.label, reason), dim)

    def unknown(self, node: Node, reason: str) -> Field:
        """This field after a node of which nothing is known."""
        return self._after(Breaker(node.label, reason, known=False), None)

    def _after(self, breaker: Breaker, dim: int | None) -> Field:
        lost = (self.lost or breaker) if dim is None else None
        return replace(self, dim=dim, breakers=(*self.breakers, breaker), lost=lost)

    def join(self, other: Field, node: Node) -> Field:
        """The field of two branches that meet in one node."""
        breakers = tuple(dict.fromkeys((*self.breakers, *other.breakers)))
        if self.dim is None or other.dim is None:
            local = other if self.dim is None else self
            return replace(local, breakers=breakers)
        if self.dim != other.dim:
            met = replace(self, breakers=breakers)
            return met.broken(node, "it joins an axis with another", dim=self.dim)
        if self.reach.scale != other.reach.scale:
            strides = f"{self.reach.scale} and {other.reach.scale}"
            met = replace(self, breakers=breakers)
            return met.broken(
                node, f"paths with different effective strides meet: {strides}", dim=self.dim
            )
        return replace(
            self,
            reach=self.reach.union(other.reach),
            cover=self.cover.union(other.cover),
            mirrors=_larger(self.mirrors, other.mirrors),
            breakers=breakers,
        )

    def mirrored(self, before: int, length: int) -> Field:
        """This field with what one more reflected padding asks for."""
        return replace(self, mirrors=_larger(self.mirrors, (before, length)))

    def standing(self, surplus: Fraction) -> Field:
        """This field with its own cells' existence in the cover; `surplus` is S * n - N."""
        stride = self.reach.scale
        return replace(self, cover=self.cover.union(Reach(stride, _ZERO, stride - 1 - surplus)))


_ZERO = Fraction(0)


def _larger(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return max(left[0], right[0]), max(left[1], right[1])


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


@dataclass(frozen=True)
class Call:
    """One node with what it is given: the fields of its inputs, and all tensors at some sizes."""

    node: Node
    fields: tuple[Field | None, ...]
    samples: Samples
    opset: int
    surplus: Fraction | None  # S * n - N of the first input with a field; None where it varies

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
    known = {image: Field(dim=axis - 2)}
    pixels = [tensors[image].shape[axis + 2] for tensors in (samples.near, samples.far)]

    def surplus(name: str, field: Field) -> Fraction | None:
        """S * n - N of a tensor whose extent follows the image's, else None."""
        if field.dim is None:
            return None
        cells = [tensors[name].shape[field.dim] for tensors in (samples.near, samples.far)]
        both = {field.reach.scale * n - size for n, size in zip(cells, pixels, strict=True)}
        return both.pop() if len(both) == 1 else None

    for node in graph.nodes:
        fields = tuple(known.get(name) for name in node.inputs)
        if not any(fields) or node.op_type in ("Shape", "Size"):
            continue
        first = next((n, f) for n, f in zip(node.inputs, fields, strict=True) if f is not None)
        call = Call(node, fields, samples, graph.opset, surplus(*first))
        rule = rules.get(node.op_type)
        field = _without_a_rule(call) if rule is None else rule(call)
        for index, name in enumerate(node.made):
            own = field if index == 0 or node.op_type == "Split" else _beside(field, node)
            known[name] = _extended(own, node, surplus(name, own))
    return known


def _beside(field: Field, node: Node) -> Field:
    """A further output: the indices of a pool, the statistics of a norm."""
    return field.unknown(node, "no rule for its further outputs")


def _extended(field: Field, node: Node, surplus: Fraction | None) -> Field:
    if field.dim is None or field.breakers:
        return field
    if surplus is None:
        return field.broken(node, "its output's size does not follow the image's", dim=field.dim)
    return field.standing(surplus)


def _without_a_rule(call: Call) -> Field:
    return call.image.unknown(call.node, f"no rule for operator {call.node.op_type}")
