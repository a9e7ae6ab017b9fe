"""A benchmark from beginning to end: how long a lap is, which way is best, and the laps.

One lap is the same list of requests for each side. The sides take turns, and who goes first
changes, so that whatever else the machine does meets them all. A few requests go before each lap
and are not counted: a side that has done nothing for a while has given its memory back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

from anyres_server.bench.client import Asked
from anyres_server.bench.counted import counted
from anyres_server.bench.crew import Crew, Lap, crew
from anyres_server.bench.images import Images
from anyres_server.bench.messages import Told
from anyres_server.bench.work import In, Work
from anyres_server.engine.bare import Way, open_bare, ways, wide_ways
from anyres_server.machine import processors

TURNS = 9  # odd, so that one of them is the median
EACH = 4  # requests of a client in a lap, at least: its beginning and its end are not like the rest
TRIALS = 3  # of each way
TRIED = 4  # requests of one client, for each
REQUEST_S = 0.003  # about what any request takes, however small its image
PAIRS = (12, 200)  # at least, at most


@dataclass(frozen=True)
class Measured:
    """Everything that was seen."""

    work: Work
    clients: int
    best: Way  # with clients beside it
    best_alone: Way
    best_for_one: Way
    server: tuple[Lap, ...]
    beside: tuple[Lap, ...]
    alone: tuple[Lap, ...]
    pairs: tuple[tuple[Asked, Asked], ...]  # server, loop: one client
    network_s: tuple[Asked, ...]  # the network alone, for the sizes of the pairs
    told: Told | None  # where a request's time went in the server, where its answers do not say


def measure(
    path: Path,
    work: Work,
    address: str,
    *,
    clients: int,
    seconds: float,
    server_pid: int | None = None,
) -> Measured:
    """Measure a server beside the loop, each for about so many seconds.

    `work.sizes` are as many as a lap can ever take; a lap is the first of them.

    Raises:
        InvalidRequest: the server refused one of the sizes.
        OtherEnded: one of the processes did not do its part.
    """
    count = _lap_length(path, work, clients, seconds / TURNS)
    work = replace(work, sizes=work.sizes[:count], grids=work.grids[:count])
    with crew(path, work, address, clients, server_pid) as all_of_them:
        all_of_them.server(count)  # what is done once is done before
        return _measured(all_of_them, work, address, clients, seconds)


def _measured(crew: Crew, work: Work, address: str, clients: int, seconds: float) -> Measured:
    count = len(work.sizes)
    trial = min(count, max(clients, count // 4))
    every = ways(processors())
    for way in every:
        crew.alone(way.at_once, way)  # opens it
    best = _fastest(every, lambda way: crew.beside(trial, way))
    best_alone = _fastest(every, lambda way: crew.alone(trial, way))
    for_one = _fastest(wide_ways(processors()), lambda way: crew.alone(TRIED, way))
    sides: list[Callable[[int], Lap]] = [
        crew.server,
        lambda requests: crew.beside(requests, best),
        lambda requests: crew.alone(requests, best_alone),
    ]
    laps: list[list[Lap]] = [[], [], []]
    before = counted(address, work.card.name)
    for turn in range(TURNS):
        for i in range(len(sides)):
            side = (i + turn) % len(sides)
            sides[side](min(clients, count))
            laps[side].append(sides[side](count))
    told = counted(address, work.card.name).since(before) if work.plain else None
    server, beside, alone = map(tuple, laps)
    pairs = _pairs(count, alone, seconds)
    return Measured(
        work,
        clients,
        best,
        best_alone,
        for_one,
        server,
        beside,
        alone,
        tuple(crew.paired(pairs, for_one)),
        crew.alone(pairs, for_one).asked,
        told,
    )


def _fastest(every: Sequence[Way], tried: Callable[[Way], Lap]) -> Way:
    """By the median of some trials of each, in turns."""
    turns = [[tried(way).seconds for way in every] for _ in range(TRIALS)]
    medians = [median(each) for each in zip(*turns, strict=True)]
    return every[medians.index(min(medians))]


def _lap_length(path: Path, work: Work, clients: int, seconds: float) -> int:
    """How many requests take about so long, by the pace of the first few."""
    network = open_bare(path, wide_ways(processors())[0])
    images = Images(replace(work, given=In.FP32))
    names = [output.name for output in work.reduction.outputs]
    network(images.input(0), names)
    began, done = perf_counter(), 0
    while perf_counter() - began < min(1.0, seconds) and done < len(work.sizes):
        network(images.input(done), names)
        done += 1
    pace = max((perf_counter() - began) / done, REQUEST_S)
    return min(len(work.sizes), max(EACH * clients, round(seconds / pace)))


def _pairs(count: int, alone: tuple[Lap, ...], seconds: float) -> int:
    """As many pairs as fit into the same time, the network's own being about half of each."""
    each = sum(lap.seconds for lap in alone) / len(alone) / count
    low, high = PAIRS
    return min(count, max(low, min(high, round(seconds / (2 * each)))))
