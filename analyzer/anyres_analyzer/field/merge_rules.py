"""Operators that take each pixel by itself, and the meeting of branches.

A number or a table that is computed from the image's size (a grid of positions, 1 / (h * w)) is not
the same for a tile, so an operator that takes one breaks locality.
"""

from __future__ import annotations

from functools import reduce

from anyres_analyzer.field.breaker import Effect
from anyres_analyzer.field.field import Field
from anyres_analyzer.field.propagation import Call


def pointwise(call: Call) -> Field:
    """Every output pixel reads the same pixel of each input."""
    met = merged(call)
    if met.dim is None:
        return met
    for index, (name, field) in enumerate(zip(call.node.inputs, call.fields, strict=True)):
        if field is None and name and call.varies(index):
            return met.broken(
                call.node,
                "it takes a number or a table that depends on the size",
                dim=met.dim,
                effect=Effect.SIZE,
            )
    return met


def merged(call: Call) -> Field:
    """All inputs that depend on pixels, met."""
    present = [field for field in call.fields if field is not None]
    return reduce(lambda left, right: left.join(right, call.node), present)
