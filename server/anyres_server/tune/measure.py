"""Seconds an image, for every way of running a network and every size that goes through it.

    alone        one image has all threads
    abreast      as many images at once as there are processors, one thread each
    together     so many images in one run, with all threads

Ways take turns, round after round, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import numpy as np

from anyres_server.machine import processors
from anyres_server.model import Model, Size
from anyres_server.tune.candidates import Candidate

BATCHES = (2, 4, 8)
BATCH_PIXELS = 2**20  # of all images in one run; beyond, none was ever faster for it


@dataclass(frozen=True)
class Measured:
    """One candidate: seconds an image by size."""

    candidate: Candidate
    model: Model
    alone_s: Mapping[Size, float]
    abreast_s: Mapping[Size, float]
    together_s: Mapping[tuple[Size, int], float]

    def best_s(self, size: Size) -> float:
        """In the fastest way, with others waiting."""
        batches = [s for (of, _), s in self.together_s.items() if of == size]
        return min([self.alone_s[size], self.abreast_s[size], *batches])


@dataclass
class _Times:
    alone: dict[Size, list[float]] = field(default_factory=lambda: defaultdict(list))
    abreast: dict[Size, list[float]] = field(default_factory=lambda: defaultdict(list))
    together: dict[tuple[Size, int], list[float]] = field(default_factory=lambda: defaultdict(list))


def measure(
    loaded: Mapping[Candidate, Model],
    sizes: Iterable[Size],
    seconds: float,
    told: Callable[[Candidate, int], None] = lambda candidate, lap: None,
) -> tuple[Measured, ...]:
    """Run every candidate at every size, again until the time is over: at least twice.

    Args:
        loaded: the model, as each candidate runs it.
        sizes: that go through the network, whole images and tiles.
        seconds: for all of it, about.
        told: is called before each candidate's turn.
    """
    by_size = tuple(sorted(set(sizes)))
    times = {candidate: _Times() for candidate in loaded}
    began, lap = perf_counter(), 0
    while lap < 2 or perf_counter() - began < seconds:
        for candidate, model in loaded.items():
            told(candidate, lap)
            _turn(model, by_size, times[candidate])
        lap += 1
        if lap == 1:  # threads were made and pages touched
            times = {candidate: _Times() for candidate in loaded}
    return tuple(_measured(each, model, times[each]) for each, model in loaded.items())


def _turn(model: Model, sizes: Iterable[Size], times: _Times) -> None:
    count = processors()
    with ThreadPoolExecutor(count) as pool:
        for size in sizes:
            _look(model, size, count, pool, times)


def _look(model: Model, size: Size, at_once: int, pool: Executor, times: _Times) -> None:
    """One size, in every way."""
    names = tuple(output.name for output in model.card.outputs)

    def run(count: int, *, wide: bool = True) -> None:
        images = np.zeros(model.card.input.shape(count, *size), model.card.input.dtype)
        model.network(images, names, wide=wide)

    times.alone[size].append(_seconds(lambda: run(1)))
    narrow = partial(run, wide=False)
    times.abreast[size].append(_seconds(lambda: list(pool.map(narrow, [1] * at_once))) / at_once)
    for batch in BATCHES:
        if model.network.batches and batch * size[0] * size[1] <= BATCH_PIXELS:
            times.together[size, batch].append(_seconds(partial(run, batch)) / batch)


def _seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _measured(candidate: Candidate, model: Model, times: _Times) -> Measured:
    return Measured(
        candidate,
        model,
        {size: statistics.median(each) for size, each in times.alone.items()},
        {size: statistics.median(each) for size, each in times.abreast.items()},
        {key: statistics.median(each) for key, each in times.together.items()},
    )
