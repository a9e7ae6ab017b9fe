"""What is asked of a variant in less precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from anyres_exporter.errors import BadRecipe
from anyres_exporter.precision.ranges import Method

Kind: TypeAlias = Literal["int8", "fp16", "weights-fp16"]


@dataclass(frozen=True)
class Asked:
    """One variant.

    Args:
        kind: int8 or fp16 weights and activations, or weights stored as fp16 and nothing else.
        pictures: a folder; half of it calibrates, the other half is compared on.
        method: how int8 finds the ranges of activations.
        min_agreement: the share of answers that must be fp32's, 0..1.
        rescue: keep the layers that hurt most in fp32 where that reaches it; else refuse.
        side: pixels, of the square that both are timed on, as near as the model takes it.
    """

    kind: Kind
    pictures: Path
    method: Method = "minmax"
    min_agreement: float = 0.99
    rescue: bool = True
    side: int = 512

    def __post_init__(self) -> None:
        """Raise BadRecipe for a share that is none."""
        if not 0 <= self.min_agreement <= 1:
            raise BadRecipe(
                f"--min-agreement is a share from 0 to 1, like 0.99; got {self.min_agreement:g}"
            )
