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

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor

from anyres_analyzer.field.breaker import Breaker, Effect, MadeFor
from anyres_analyzer.field.reach import IDENTITY, ITSELF, MOST_PHASES, Cover, Reach
from anyres_analyzer.field.trail import Misalignment, Trail, apart, described
from anyres_analyzer.graph.graph import Node


@dataclass(frozen=True)
class Flat:
    """A map whose axes were merged, its numbers in their order: its shapes at the sampled sizes."""

    shapes: tuple[tuple[int, ...], ...]
    dim: int


@dataclass(frozen=True)
class Field:
    """One image axis as one tensor sees it.

    `mirrors` is what reflected padding asks of a tile at the image's border: the halo before its
    core, and its length from the image's beginning. `flat` is the map that a flattened one was, as
    long as its numbers keep their order: a norm over groups of channels flattens and restores it.
    """

    dim: int | None
    reach: Reach = IDENTITY
    cover: Cover = ITSELF
    mirrors: tuple[int, int] = (0, 0)
    breakers: tuple[Breaker, ...] = ()
    lost: Breaker | None = None
    flat: Flat | None = None
    misaligned: tuple[Misalignment, ...] = ()
    trail: Trail | None = field(default=None, repr=False, compare=False)

    @property
    def local(self) -> bool:
        """Whether each output pixel reads its surroundings alone, at any one size."""
        return self.dim is not None and all(b.effect is Effect.SIZE for b in self.breakers)

    def through(self, layer: Reach, node: Node) -> Field:
        """This field after a local layer."""
        if (phases := layer.phases_after(self.reach)) > MOST_PHASES:
            return self.endless(node, phases)
        trail = Trail(node.label, self.trail)
        return replace(
            self, reach=layer.after(self.reach), cover=layer.after(self.cover), trail=trail
        )

    def broken(
        self,
        node: Node,
        reason: str,
        *,
        dim: int | None = None,
        effect: Effect = Effect.GLOBAL,
        made_for: MadeFor | None = None,
    ) -> Field:
        """This field after a node that breaks locality; without `dim` the axis ends there."""
        return self._after(Breaker(node.label, reason, effect, made_for), dim)

    def unknown(self, node: Node, reason: str) -> Field:
        """This field after a node of which nothing is known."""
        return self._after(Breaker(node.label, reason, Effect.UNKNOWN), None)

    def endless(self, node: Node, phases: int) -> Field:
        """This field after a node of too many phases to look at each."""
        return self.unknown(node, f"what its outputs see repeats only after {phases} of them")

    def flattened(self, node: Node, reason: str, flat: Flat) -> Field:
        """This field after a node that merges the axis with others, in order."""
        return replace(self.broken(node, reason), flat=flat)

    def restored(self, flat: Flat) -> Field:
        """This field after a node that gives a flattened map its shape again."""
        return replace(self, dim=flat.dim, lost=None, flat=None)

    def _after(self, breaker: Breaker, dim: int | None) -> Field:
        lost = (self.lost or breaker) if dim is None else None
        return replace(self, dim=dim, breakers=(*self.breakers, breaker), lost=lost)

    def join(self, other: Field, node: Node) -> Field:
        """The field of two branches that meet in one node."""
        if other is self:
            return self
        met = replace(
            self,
            breakers=tuple(dict.fromkeys((*self.breakers, *other.breakers))),
            misaligned=tuple(dict.fromkeys((*self.misaligned, *other.misaligned))),
        )
        if self.dim is None or other.dim is None:
            local = other if self.dim is None else self
            flat = self.flat if self.flat == other.flat else None
            return replace(local, flat=flat, breakers=met.breakers, misaligned=met.misaligned)
        if self.dim != other.dim:
            return met.broken(node, "it joins an axis with another", dim=self.dim)
        if self.reach.scale != other.reach.scale:
            one, two = map(described, apart(self.trail, other.trail))
            strides = f"{self.reach.scale} ({one}) and {other.reach.scale} ({two})"
            return met.broken(
                node,
                f"paths of different effective strides meet: {strides}",
                dim=self.dim,
                effect=Effect.STRIDES,
            )
        return replace(
            met,
            reach=self.reach.union(other.reach),
            cover=self.cover.union(other.cover),
            mirrors=_larger(self.mirrors, other.mirrors),
            misaligned=(*met.misaligned, *self._misalignment(other, node)),
        )

    def _misalignment(self, other: Field, node: Node) -> tuple[Misalignment, ...]:
        distance = abs(self.reach.centre - other.reach.centre)
        if not distance:
            return ()
        return (Misalignment(node.label, distance, apart(self.trail, other.trail)),)

    def mirrored(self, before: int, length: int) -> Field:
        """This field with what one more reflected padding asks for."""
        return replace(self, mirrors=_larger(self.mirrors, (before, length)))

    def standing(self, surplus: Fraction) -> Field:
        """This field with its own cells' existence in the cover; `surplus` is S * n - N."""
        stride = self.reach.scale
        cells = tuple(
            (floor(stride * cell), ceil(stride * (cell + 1) - surplus) - 1)
            for cell in range(stride.denominator)
        )
        own = Cover(cells, stride.numerator, self.reach.centre)
        return replace(self, cover=self.cover.union(own))


def _larger(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return max(left[0], right[0]), max(left[1], right[1])
