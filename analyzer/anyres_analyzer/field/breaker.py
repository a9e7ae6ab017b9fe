"""A node after which an output pixel depends on more than its surroundings, and how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What a breaker does to an output pixel."""

    GLOBAL = "depends on pixels of the whole image"
    SIZE = "depends on its surroundings and on the image's size"
    BAKED = "has a size of its own, whatever the image's"
    STRIDES = "joins what no size keeps together"
    UNKNOWN = "is not known"


@dataclass(frozen=True)
class MadeFor:
    """A tensor, and how long it is in a dimension at the sizes that a baked number was made for."""

    tensor: str
    dim: int
    extent: int


@dataclass(frozen=True)
class Breaker:
    """A node that makes an output pixel depend on more than its surroundings."""

    node: str
    reason: str
    effect: Effect = Effect.GLOBAL
    made_for: MadeFor | None = None  # where the effect is BAKED and the right size can be told

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"
