"""Two models side by side: medians of runs that take turns, so that both see the same machine."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.pictures import prepared
from anyres_exporter.precision.halves import window_of
from anyres_exporter.runtime import Runtime
from anyres_proto.card import Card

RUNS, MOST_RUNS = 7, 31
ENOUGH_S = 0.3  # of each model; what is quick runs more often, for a steadier median


def timed(*models: Runtime, image: NDArray[Any], runs: int = RUNS) -> tuple[float, ...]:
    """Median seconds of each for one image, after a run that warms up."""
    for model in models:
        model(image)
    seconds: list[list[float]] = [[] for _ in models]
    for turn in range(MOST_RUNS):
        if turn >= runs and min(map(sum, seconds)) >= ENOUGH_S:
            break
        for model, taken in zip(models, seconds, strict=True):
            start = perf_counter()
            model(image)
            taken.append(perf_counter() - start)
    return tuple(map(statistics.median, seconds))


def noise(card: Card, side: int) -> NDArray[Any]:
    """A picture of noise for a model, `side` pixels a side or as near to it as its sizes allow."""
    image = card.input
    size = window_of(card.sizes, (side, side), side) or (
        card.sizes.height.minimum,
        card.sizes.width.minimum,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (*size, image.channels), np.uint8)
    return prepared(pixels, image)
