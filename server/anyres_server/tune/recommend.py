"""What the measured seconds recommend."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from anyres_server.model import Size
from anyres_server.tune.measure import Measured

Pieces = Mapping[Size, int]  # of one image: how many of each size go through the network
CLEARLY = 1.03  # faster by less is noise, and the candidate that changes less is taken
PAYS = 1.05  # a batch must be so much faster an image than its images alone


@dataclass(frozen=True)
class Verdict:
    """One candidate.

    Attributes:
        measured: what was measured of it.
        images_s: with others waiting, each image in its fastest way.
        alone_ms: of one image with nobody beside it, the median of all.
    """

    measured: Measured
    images_s: float
    alone_ms: float


@dataclass(frozen=True)
class Recommendation:
    """The candidate to run a model with, and its batches; 1 where none pays."""

    best: Verdict
    max_batch_size: int
    max_batch_pixels: int


def verdicts(measured: Iterable[Measured], images: Sequence[Pieces]) -> tuple[Verdict, ...]:
    """What each candidate does with these images."""
    return tuple(_verdict(each, images) for each in measured)


def recommend(found: Sequence[Verdict], least_agreement: float) -> Recommendation:
    """The fastest of those that agree, or an earlier one that is about as fast.

    Raises:
        ValueError: none agrees; the processor in f32 always does.
    """
    good = [each for each in found if (each.measured.model.agreement or 1.0) >= least_agreement]
    if not good:
        raise ValueError("no candidate agrees")
    fastest = max(each.images_s for each in good)
    best = next(each for each in good if each.images_s * CLEARLY >= fastest)
    return Recommendation(best, *_batches(best.measured))


def _verdict(measured: Measured, images: Sequence[Pieces]) -> Verdict:
    busy = [_spent({size: measured.best_s(size) for size in image}, image) for image in images]
    alone = [_spent(measured.alone_s, image) for image in images]
    return Verdict(measured, len(images) / sum(busy), 1e3 * statistics.median(alone))


def _spent(seconds: Mapping[Size, float], image: Pieces) -> float:
    return sum(seconds[size] * count for size, count in image.items())


def _batches(measured: Measured) -> tuple[int, int]:
    """The largest batch that pays at some size, and the most pixels that one has."""
    paying = [
        (batch, batch * prod(size))
        for (size, batch), seconds in measured.together_s.items()
        if seconds * PAYS <= min(measured.alone_s[size], measured.abreast_s[size])
    ]
    if not paying:
        return 1, 1
    return max(batch for batch, _ in paying), max(pixels for _, pixels in paying)
