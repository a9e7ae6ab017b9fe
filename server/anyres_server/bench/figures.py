"""What was measured, as figures: throughput, ratios, latencies, where the time went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import floor, log2, prod
from statistics import fmean, median
from typing import Any

from anyres_server.bench.crew import Lap
from anyres_server.bench.measure import Measured
from anyres_server.model import Size


@dataclass(frozen=True)
class Throughput:
    """Of one side: the median of its laps; processors' time is the mean of all."""

    images_s: float
    megapixels_s: float
    cpu_ms: float | None  # of all processors, an image: whoever answers
    clients_cpu_ms: float  # the same, of its clients


@dataclass(frozen=True)
class Latency:
    """Of requests of about the same size, in milliseconds."""

    megapixels: tuple[float, float]
    images: int
    server_ms: tuple[float, float, float]  # p50, p90, p99
    beside_ms: tuple[float, float, float]


@dataclass(frozen=True)
class Ratio:
    """The server's throughput as a part of another side's, lap by lap, and the median of these.

    The laps of one turn follow each other, so what holds up the machine for seconds meets both.
    """

    median: float
    laps: tuple[float, ...]


@dataclass(frozen=True)
class Split:
    """Where a request's time went in the server, in milliseconds on average, as it said itself."""

    decode_ms: float
    queue_ms: float
    compute_ms: float
    reduce_ms: float


@dataclass(frozen=True)
class Added:
    """What the server adds to the latency of one client, in milliseconds."""

    images: int
    to_loop_ms: float  # median of the pairs' differences
    to_loop_quartiles_ms: tuple[float, float]
    to_network_ms: float  # median against the network alone, with no client to encode and decode
    server_ms: float
    network_ms: float


@dataclass(frozen=True)
class Figures:
    """Everything that is shown."""

    model: str
    given: str
    wanted: str
    protocol: str
    clients: int
    images: int
    best: str
    best_alone: str
    best_for_one: str
    server: Throughput
    beside: Throughput
    alone: Throughput
    to_beside: Ratio
    to_alone: Ratio
    latency: tuple[Latency, ...]
    split: Split | None
    added: Added

    def encoded(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def figures(measured: Measured) -> Figures:
    """The figures of what was measured."""
    work = measured.work
    return Figures(
        model=work.card.name,
        given=work.given.value,
        wanted=work.wanted.value,
        protocol="Open Inference Protocol" if work.plain else "anyres.v1",
        clients=measured.clients,
        images=len(work.sizes) * len(measured.server),
        best=str(measured.best),
        best_alone=str(measured.best_alone),
        best_for_one=str(measured.best_for_one),
        server=_throughput(measured.server, work.sizes),
        beside=_throughput(measured.beside, work.sizes),
        alone=_throughput(measured.alone, work.sizes),
        to_beside=_ratio(measured.server, measured.beside),
        to_alone=_ratio(measured.server, measured.alone),
        latency=_latencies(measured),
        split=_split(measured),
        added=_added(measured),
    )


def _throughput(laps: Sequence[Lap], sizes: Sequence[Size]) -> Throughput:
    images, seconds = len(laps) * len(sizes), median(lap.seconds for lap in laps)
    spent = [lap.cpu_s for lap in laps if lap.cpu_s is not None]
    return Throughput(
        len(sizes) / seconds,
        sum(map(prod, sizes)) / 1e6 / seconds,
        1e3 * sum(spent) / images if spent else None,
        1e3 * sum(lap.clients_cpu_s for lap in laps) / images,
    )


def _ratio(server: Sequence[Lap], other: Sequence[Lap]) -> Ratio:
    laps = tuple(o.seconds / s.seconds for s, o in zip(server, other, strict=True))
    return Ratio(median(laps), laps)


def _latencies(measured: Measured) -> tuple[Latency, ...]:
    """By octaves of megapixels: each class holds sizes up to twice its smallest."""
    sizes = measured.work.sizes
    classes: dict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for side, laps in enumerate((measured.server, measured.beside)):
        for asked in (asked for lap in laps for asked in lap.asked):
            octave = floor(log2(prod(sizes[asked.index]) / 2**20))
            classes[octave][side].append(asked.seconds)
    return tuple(
        Latency(
            (2.0**octave * 2**20 / 1e6, 2.0 ** (octave + 1) * 2**20 / 1e6),
            len(server),
            _percentiles(server),
            _percentiles(beside),
        )
        for octave, (server, beside) in sorted(classes.items())
    )


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(seconds)
    p50, p90, p99 = (1e3 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.9, 0.99))
    return p50, p90, p99


def _split(measured: Measured) -> Split | None:
    told = [asked.told for lap in measured.server for asked in lap.asked if asked.told]
    told += [measured.told] if measured.told else []
    if not told:
        return None
    return Split(
        decode_ms=1e3 * fmean(each.decode_s for each in told),
        queue_ms=1e3 * fmean(each.queue_s for each in told),
        compute_ms=1e3 * fmean(each.compute_s for each in told),
        reduce_ms=1e3 * fmean(each.reduce_s for each in told),
    )


def _added(measured: Measured) -> Added:
    network = {asked.index: asked for asked in measured.network_s}
    server = [asked for asked, _ in measured.pairs]
    differences = sorted(server.seconds - loop.seconds for server, loop in measured.pairs)
    last = len(differences) - 1
    return Added(
        images=len(server),
        to_loop_ms=1e3 * median(differences),
        to_loop_quartiles_ms=(1e3 * differences[last // 4], 1e3 * differences[last * 3 // 4]),
        to_network_ms=_median_ms([each.seconds - network[each.index].seconds for each in server]),
        server_ms=_median_ms([each.seconds for each in server]),
        network_ms=_median_ms([each.seconds for each in network.values()]),
    )


def _median_ms(seconds: Sequence[float]) -> float:
    return 1e3 * median(seconds)
