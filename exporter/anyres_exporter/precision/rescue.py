"""Which layers must stay in fp32 for a variant to answer as fp32 does.

Each layer is put into less precision alone, all others in fp32, and the damage to the answers of a
few calibration pictures is measured: the power of the error by the power of the answer, its
reciprocal the signal-to-noise ratio. Then the fewest of the worst are kept with which the variant
passes on the calibration half, found by doubling and bisection; the held-out half judges, and
where it disagrees, more are kept. With more than half of the layers in fp32 a variant would hardly
be one, so there the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.precision.maker import Maker
from anyres_exporter.runtime import Runtime

Kept: TypeAlias = tuple[str, ...]
Passes: TypeAlias = Callable[[Kept], bool]


def ranked(maker: Maker, fp32: Runtime, images: Iterable[NDArray[Any]]) -> Kept:
    """The layers, the one that hurts most first.

    Args:
        maker: makes the variants that are tried, one a layer.
        fp32: what they are compared with.
        images: a few network inputs; iterated once for every layer.
    """
    expected = [fp32(image) for image in images]

    def damage(layer: str) -> float:
        alone = Runtime(maker.judged([each for each in maker.layers if each != layer]))
        pairs = zip(expected, map(alone, images), strict=True)
        return max(_noise(right, wrong) for right, wrong in pairs)

    return tuple(sorted(maker.layers, key=damage, reverse=True))


def fewest(worst_first: Kept, calibration: Passes, held_out: Passes) -> Kept:
    """The shortest beginning of the list with which both halves pass, or the first half of it.

    Args:
        worst_first: layers in the order in which they are kept.
        calibration: whether the variant that keeps these passes on the calibration half.
        held_out: the same on the other.
    """
    limit = (len(worst_first) + 1) // 2
    count = _least(limit, lambda n: calibration(worst_first[:n]))
    while count < limit and not held_out(worst_first[:count]):
        count = min(limit, count + max(1, count // 2))
    return worst_first[:count]


def _least(limit: int, passes: Callable[[int], bool]) -> int:
    """The smallest count from 1 up to the limit that passes; the limit where none does."""
    failed, count = 0, 1
    while not passes(count):
        if count == limit:
            return limit
        failed, count = count, min(2 * count, limit)
    while count - failed > 1:
        middle = (failed + count) // 2
        failed, count = (failed, middle) if passes(middle) else (middle, count)
    return count


def _noise(expected: dict[str, NDArray[Any]], actual: dict[str, NDArray[Any]]) -> float:
    """The power of the error by that of the answer, of the worst output."""
    return max(_share(expected[name], actual[name]) for name in expected)


def _share(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    if not np.isfinite(actual).all():
        return np.inf
    right = expected.astype(np.float64)
    error = float(((right - actual) ** 2).sum())
    return error / (float((right**2).sum()) or 1.0)
