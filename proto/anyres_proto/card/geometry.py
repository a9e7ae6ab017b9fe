"""Which sizes a model takes, what an output pixel sees, and how an image may be cut: in pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Self

from pydantic import Field, model_validator

from anyres_proto.card.part import Part


class AxisContract(Part):
    """Which sizes one spatial axis takes, who decides that, and why.

    The admissible sizes are `minimum + k * step` up to `maximum`; a fixed axis has
    `minimum == maximum`.
    """

    verdict: Literal["free", "stepped", "fixed", "unsafe", "unknown"]
    minimum: int = Field(ge=1)
    step: int = Field(ge=1, default=1)
    maximum: int | None = None
    node: str | None = None
    reason: str

    @model_validator(mode="after")
    def _some_size_is_taken(self) -> Self:
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is below minimum {self.minimum}")
        return self

    def admits(self, size: int) -> bool:
        """Whether an image of this many pixels along the axis is taken."""
        below = self.maximum is not None and size > self.maximum
        return size >= self.minimum and not below and (size - self.minimum) % self.step == 0

    def expected(self) -> str:
        """The admissible sizes in words: "224", "at least 1", "16, 32, 48, ... (steps of 16)"."""
        if self.maximum == self.minimum:
            return str(self.minimum)
        if self.step == 1:
            until = "" if self.maximum is None else f" and at most {self.maximum}"
            return f"at least {self.minimum}{until}"
        first = [self.minimum + i * self.step for i in range(3)]
        shown = ", ".join(str(size) for size in first if self.admits(size))
        if self.maximum is None:
            return f"{shown}, ... (steps of {self.step})"
        last = self.maximum - (self.maximum - self.minimum) % self.step
        return shown if last <= first[-1] else f"{shown}, ... {last} (steps of {self.step})"


class SizeContract(Part):
    """The admissible heights and widths."""

    height: AxisContract
    width: AxisContract


class AxisField(Part):
    """The receptive field along one axis.

    Output pixel `i` depends on the input pixels in `[stride * i + low, stride * i + high]`; `size`
    counts them at most. The terms are those of Araujo et al. (Distill, 2019).
    """

    size: int
    stride: Fraction
    low: Fraction
    high: Fraction

    @property
    def centre(self) -> Fraction:
        """The input coordinate that output pixel 0 is centred on."""
        return (self.low + self.high) / 2


class ReceptiveField(Part):
    """The receptive field of the output, height and width."""

    height: AxisField
    width: AxisField


class AxisTiling(Part):
    """How one axis may be cut so that tiles equal the whole, in input pixels.

    A tile starts at a multiple of `alignment` and carries at least `halo_before` and `halo_after`
    real pixels beyond its core, except at a true border of the image. The shortest one inside an
    image is `minimum_tile` long.
    """

    alignment: int = Field(ge=1)
    halo_before: int = Field(ge=0)
    halo_after: int = Field(ge=0)
    minimum_tile: int | None = Field(ge=1, default=None)


class Tiling(Part):
    """The rule for exact tiles, or the nodes that make them impossible."""

    height: AxisTiling | None = None
    width: AxisTiling | None = None
    breakers: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether tiles can equal the whole image."""
        return self.height is not None and self.width is not None


class AxisPadding(Part):
    """What a graph adds along one axis: `before` pixels first, and after as many as it takes.

    It pads to the smallest `minimum + k * step` that is at least `more` pixels above the image.
    """

    step: int = Field(ge=1)
    minimum: int = Field(ge=1, default=1)
    before: int = Field(ge=0, default=0)
    more: int = Field(ge=0, default=0)

    @model_validator(mode="after")
    def _what_comes_before_is_of_it(self) -> Self:
        if self.before > self.more:
            raise ValueError(f"{self.before} pixels before are not among {self.more}")
        return self

    def missing(self, size: int) -> int:
        """How many rows or columns an image of this size lacks, in all."""
        lacking = self.minimum - self.more - size
        return max(lacking % self.step, lacking) + self.more


class Padding(Part):
    """What the graph itself adds before, and crops after, the network."""

    height: AxisPadding
    width: AxisPadding
    mode: Literal["edge", "reflect", "constant"]
    value: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _one_rule_for_both_axes(cls, fields: object) -> object:
        """Cards have been written with one step and minimum for both."""
        if not isinstance(fields, dict) or "step" not in fields:
            return fields
        axis = {key: fields[key] for key in ("step", "minimum") if key in fields}
        rest = {key: value for key, value in fields.items() if key not in axis}
        return rest | {"height": axis, "width": axis}
