"""The tiling rule: how an image may be cut so that tiles equal the whole, or who forbids it.

Along an axis let output `o` need the pixels first(o) .. last(o): those that it reads, and those
that make every cell on the way exist (the cover, see `field`). Let A, the alignment, be a common
multiple of every advance in the graph (after which what its tensors see repeats) and of the size
contract's step. A tile that starts at a multiple of A sees the same sampling lattices as the whole
image. Of a core [c0, c1) with both ends on multiples of A (or the image's true end) the outputs
from c0 / S on begin to read, as those from 0 on do, and those before c1 / S stop, so

    halo before = -min over o >= 0 of first(o)          halo after = 1 + max over o < 0 of last(o)

The halo must be real pixels, except at the image's true borders, which are left to the network:
each layer pads again after its bias and activation, so no padding of the image equals it.
Example: a 3x3 convolution padded by 1 has first(0) = -1 and last(-1) = 0: A = 1, halos 1 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import lcm

from anyres_analyzer.field.field import Field
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.tiling.plan import AxisRule


@dataclass(frozen=True)
class AxisTiling:
    """One axis: tiles start at multiples of `alignment`; all are input pixels.

    `minimum_tile` is the shortest tile inside an image: a core of `alignment` pixels and its halos,
    of a length that the network takes.
    """

    alignment: int
    halo_before: int
    halo_after: int
    minimum_tile: int


@dataclass(frozen=True)
class Tiling:
    """Both axes, None where tiles cannot be exact; `breakers` names the nodes that forbid it."""

    height: AxisTiling | None
    width: AxisTiling | None
    breakers: tuple[str, ...]


def axis_tiling(
    output: Field, fields: Iterable[Field], contract: AxisContract
) -> AxisTiling | None:
    """The rule along one axis, from the output's field and those of all tensors before it."""
    if output.breakers or output.dim is None or contract.maximum is not None:
        return None
    alignment = lcm(contract.step, strides(fields))
    mirror_before, mirror_length = output.mirrors
    before = max(output.cover.before, mirror_before)
    after = max(output.cover.beyond, mirror_length - alignment)
    rule = AxisRule(alignment, before, after, contract.minimum, contract.step)
    return AxisTiling(alignment, before, after, rule.length(rule.lead + alignment + after))


def strides(fields: Iterable[Field]) -> int:
    """The period in which all sampling lattices of a graph coincide, in pixels."""
    return lcm(*(field.reach.advance for field in fields))


def breakers(output: tuple[Field, Field], contracts: tuple[AxisContract, ...]) -> tuple[str, ...]:
    """Every node that forbids tiles, with its reason, each once."""
    by_operator = [str(breaker) for field in output for breaker in field.breakers]
    by_size = [
        f"{contract.node or 'the input'}: {contract.reason}"
        for contract in contracts
        if contract.maximum is not None
    ]
    return tuple(dict.fromkeys(by_operator + by_size))
