"""The size contract: which heights and widths go through a graph, and the node that decides.

Sizes are tried on the shape walk, so a verdict is a fact about the graph's operators, not a
declaration. Along one axis, with the other at a size that works, the admissible sizes are found as

    minimum + k * step   (k = 0, 1, ...)    up to a maximum where there is one

Above some size, whether n works depends on n mod A alone, where A is the period of the graph's
sampling lattices (merges of strided branches); below it, on windows and crops too, which a larger
image only helps. So A sizes far up tell the step, bisection along it finds the minimum, and where
nothing far up works, the sizes around the one that does are tried one by one.

Example: a U-Net of two levels takes n = 0 (mod 4); A = 4, and its Concat refuses the other three.
Where more residues work than one progression holds (a stem that rounds up takes 3 and 4 mod 4), the
contract is the one of the smallest step, and `also` holds the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from anyres_analyzer.errors import Inadmissible

LARGEST_PERIOD = 256
FAR = 37  # periods above a size that works: what is true of residues there is true further up
FURTHEST = 4096  # pixels above it that still work where there is no maximum


@dataclass(frozen=True)
class Progression:
    """minimum + k * step for k = 0, 1, ..."""

    minimum: int
    step: int

    def __contains__(self, size: int) -> bool:
        return size >= self.minimum and (size - self.minimum) % self.step == 0

    def __str__(self) -> str:
        return f"{self.minimum}, {self.minimum + self.step}, ..."


@dataclass(frozen=True)
class AxisContract:
    """The admissible sizes of one axis: minimum + k * step, up to maximum where it is not None.

    Where more sizes are taken than that, `also` holds them. The verdict is free, stepped, fixed,
    unsafe (other sizes go through without an error, and what they give is wrong) or unknown.
    """

    verdict: str
    minimum: int
    step: int
    maximum: int | None
    node: str | None
    reason: str
    also: tuple[Progression, ...] = ()

    def admits(self, size: int) -> bool:
        """Whether an image of this many pixels along the axis is taken."""
        below = self.maximum is None or size <= self.maximum
        regular = size >= self.minimum and below and (size - self.minimum) % self.step == 0
        return regular or any(size in further for further in self.also)

    def at_least(self, pixels: int) -> int:
        """The smallest admissible size that is no smaller, or the maximum."""
        steps = max(0, -(-(pixels - self.minimum) // self.step))
        size = self.minimum + steps * self.step
        return size if self.maximum is None else min(size, self.maximum)

    def expected(self) -> str:
        """The admissible sizes in words: "224", "8, 16, ...", "at least 1", "16 to 19"."""
        if self.maximum is None:
            several = " or ".join(map(str, (Progression(self.minimum, self.step), *self.also)))
            return several if self.step > 1 else f"at least {self.minimum}"
        until = f" to {self.maximum}" * (self.maximum > self.minimum)
        return f"{self.minimum}{until}" + f" by {self.step}" * (self.step > 1)


@dataclass(frozen=True)
class SizeContract:
    """Both axes."""

    height: AxisContract
    width: AxisContract

    def admits(self, height: int, width: int) -> bool:
        """Whether an image of this size is taken."""
        return self.height.admits(height) and self.width.admits(width)


Refusal = Inadmissible | None
Attempt = Callable[[int], Refusal]

_NOBODY = "every operator on the way takes any size"


def axis_contract(
    declared: int | str | None, works: int, period: int, attempt: Attempt
) -> AxisContract:
    """The contract of one axis.

    Args:
        declared: the input's own dimension: a number where it is pinned.
        works: a size that goes through.
        period: A, as far as the graph's strides tell.
        attempt: says what refuses a size, None where it goes through.
    """
    attempt = cache(attempt)
    if isinstance(declared, int):
        return _declared(declared, attempt)
    for repeated in range(period, max(LARGEST_PERIOD, period) + 1, period):
        if _works_far_above(works, repeated, attempt):
            return _open(works, repeated, attempt)
    return _bounded(works, period, attempt)


def _declared(size: int, attempt: Attempt) -> AxisContract:
    """An input with a static dimension; the graph may tell which node would fix it anyway."""
    refusal = attempt(size + 1) or attempt(2 * size)
    node, reason = (refusal.node, refusal.reason) if refusal else (None, "the input declares it")
    return AxisContract("fixed", size, 1, size, node, reason)


def _works_far_above(works: int, period: int, attempt: Attempt) -> bool:
    furthest = -(-FURTHEST // period)
    return all(attempt(works + period * k) is None for k in (1, FAR, furthest))


def _open(works: int, period: int, attempt: Attempt) -> AxisContract:
    """No maximum: progressions from every residue far up, then the minimum along each."""
    far = works + period * FAR
    passes = [attempt(far + residue) is None for residue in range(period)]
    (step, residue), *others = _progressions(passes)
    minimum, below = _minimum((far + residue) % step or step, far + residue, step, attempt)
    if step > 1:
        refused = (attempt(far + residue + k) for k in range(1, step))
        refusal = next(filter(None, refused), None)
    else:
        refusal = below
    node, reason = (refusal.node, refusal.reason) if refusal else (None, _NOBODY)
    also = (
        Progression(_minimum((far + start) % every or every, far + start, every, attempt)[0], every)
        for every, start in others
    )
    verdict = "stepped" if step > 1 else "free"
    return AxisContract(verdict, minimum, step, None, node, reason, tuple(also))


def _progressions(passes: list[bool]) -> Iterator[tuple[int, int]]:
    """Steps and residues that together hold every size that works, the smallest step first."""
    left = list(passes)
    while any(left):
        step, residue = _progression(left)
        yield step, residue
        left[residue::step] = [False] * len(left[residue::step])


def _progression(passes: list[bool]) -> tuple[int, int]:
    """The smallest step, and a residue, such that every size residue + k * step works.

    One residue works at least, so the period itself is always a step.
    """
    period = len(passes)
    return next(
        (step, residue)
        for step in range(1, period + 1)
        if period % step == 0
        for residue in range(step)
        if all(passes[residue::step])
    )


def _minimum(smallest: int, works: int, step: int, attempt: Attempt) -> tuple[int, Refusal]:
    """The smallest size from which on all of the progression works, and what refuses the one below.
    Bisection: along one progression a larger image only makes room for windows and crops.
    """
    low, high = -1, (works - smallest) // step  # in steps; low fails, high works
    below: Refusal = None
    while high - low > 1:
        middle = (low + high) // 2
        refusal = attempt(smallest + middle * step)
        if refusal is None:
            high = middle
        else:
            low, below = middle, refusal
    return smallest + high * step, below


def _bounded(works: int, period: int, attempt: Attempt) -> AxisContract:
    """A maximum: the run of sizes around the one that works."""

    def passes(size: int) -> bool:
        return size >= 1 and attempt(size) is None

    distances = range(1, period + 1)
    step = next((d for d in distances if passes(works - d) or passes(works + d)), 1)
    minimum = maximum = works
    while passes(minimum - step):
        minimum -= step
    while maximum < works + FURTHEST and passes(maximum + step):
        maximum += step
    refusal = attempt(maximum + step) or (attempt(minimum - step) if minimum > step else None)
    node, reason = (refusal.node, refusal.reason) if refusal else (None, _NOBODY)
    return AxisContract("fixed", minimum, step, maximum, node, reason)
