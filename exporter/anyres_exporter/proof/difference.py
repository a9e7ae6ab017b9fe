"""How far one output of a graph is from what the model answers.

Values are compared relative to the largest magnitude of the model's own answer. Whole numbers
(class maps, counts) have no size to be relative to: of them the share that is equal counts. NaN
and infinity agree with nothing, themselves included: what is no number cannot be proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4  # of the largest magnitude in the answer: float32 sums in another order
AGREEMENT = (
    0.999  # of whole numbers: an argmax may flip where two scores are equal but for rounding
)

Array: TypeAlias = NDArray[Any]
Answers: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True)
class Difference:
    """One output: its worst difference, absolute and relative to the model's largest magnitude.

    `agreement` is the share of cells whose highest channel is the same; of an output of whole
    numbers, the share that is equal; None for one channel. `spread` is how far the model's answers
    lie from their channel's mean, relative to their largest magnitude: an error of less than a part
    of that would not show. `failure` says what was no comparison.
    """

    output: str
    absolute: float = 0.0
    relative: float = 0.0
    agreement: float | None = None
    spread: float = 1.0
    whole: bool = False
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the graph's output is the model's."""
        if self.failure:
            return False
        if self.whole:
            return self.agreement is not None and self.agreement >= AGREEMENT
        return self.relative <= TOLERANCE

    def said(self) -> str:
        """How it differs, in a few words."""
        if self.failure:
            return self.failure
        if self.whole:
            return f"differs from PyTorch in {1 - (self.agreement or 0):.2%} of its values"
        return f"differs from PyTorch by {self.absolute:.2g} ({self.relative:.1%} of the largest)"

    @property
    def badness(self) -> tuple[bool, float, float]:
        """Orders differences, the worst last."""
        return (
            bool(self.failure),
            self.relative,
            1 - (1 if self.agreement is None else self.agreement),
        )


def differences(expected: Answers, actual: Answers) -> tuple[Difference, ...]:
    """Every output of a graph against the model's.

    Args:
        expected: what the model answers.
        actual: what the graph answers: some or all of these names; or as many, in the same order.
    """
    pairs = _paired(tuple(expected), tuple(actual))
    if pairs is None:
        said = f"the graph's outputs are {_listed(actual)}, the model's {_listed(expected)}"
        return tuple(Difference(name, failure=said) for name in actual)
    return tuple(difference(name, expected[model], actual[name]) for model, name in pairs)


def difference(output: str, expected: Array, actual: Array) -> Difference:
    """One output of the graph against the model's."""
    if actual.shape != expected.shape:
        said = f"the graph answers {actual.shape}, the model {expected.shape}"
        return Difference(output, failure=said)
    whole = [not np.issubdtype(answer.dtype, np.floating) for answer in (expected, actual)]
    if whole[0] != whole[1]:
        said = f"the graph answers {actual.dtype}, the model {expected.dtype}"
        return Difference(output, failure=said)
    if whole[0]:
        return Difference(output, agreement=_share(actual == expected), whole=True)
    for who, answer in (("model", expected), ("graph", actual)):
        if not np.isfinite(answer).all():
            return Difference(output, failure=f"the {who} answers values that are no numbers")
    return _of_values(output, expected.astype(np.float64), actual.astype(np.float64))


def _of_values(output: str, expected: Array, actual: Array) -> Difference:
    worst = float(np.abs(actual - expected).max(initial=0.0))
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    agreement = None
    if expected.ndim > 1 and expected.shape[1] > 1:
        agreement = _share(actual.argmax(axis=1) == expected.argmax(axis=1))
    others = tuple(axis for axis in range(expected.ndim) if axis != 1)
    spread = float(np.abs(expected - expected.mean(others, keepdims=True)).max(initial=0.0))
    return Difference(output, worst, worst / scale, agreement, spread / scale)


def _share(same: Array) -> float:
    return float(same.mean()) if same.size else 1.0


def _paired(expected: tuple[str, ...], actual: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """(the model's name, the graph's); None where the one does not tell the other."""
    if set(actual) <= set(expected):
        return [(name, name) for name in actual]
    return list(zip(expected, actual, strict=True)) if len(expected) == len(actual) else None


def _listed(names: Answers) -> str:
    return ", ".join(names)
