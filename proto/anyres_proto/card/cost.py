"""What an image costs: at some sizes, and in closed form."""

from __future__ import annotations

from fractions import Fraction

from pydantic import Field

from anyres_proto.card.part import Part


class CostAt(Part):
    """What one image (or the one batch that the model takes) of this size costs."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    macs: int = Field(ge=0)
    activation_bytes: int = Field(ge=0)


class Term(Part):
    """`coefficient * H^height * W^width`."""

    coefficient: Fraction
    height: int = Field(ge=0)
    width: int = Field(ge=0)


class Formula(Part):
    """Cost in H and W: exact where both are at least `minimum` and leave `remainder` by `period`.

    Sizes are (width, height). The peak is the largest of its polynomials.
    """

    period: tuple[int, int]
    remainder: tuple[int, int]
    minimum: tuple[int, int]
    macs: tuple[Term, ...]
    activation_bytes: tuple[tuple[Term, ...], ...]


class Cost(Part):
    """Multiply-adds and peak bytes of live activations: at some sizes, and in closed form.

    A cost depends on the remainders of the size too, so a model has a formula for each; the card
    has that of the sizes it lists.
    """

    at: tuple[CostAt, ...] = ()
    formula: Formula | None = None
