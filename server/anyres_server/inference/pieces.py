"""The pieces of one image on their way through the network, several at a time.

for each piece:   activations' budget -> batch -> cut and scale -> network -> reduce, make -> keep

As many are under way as there are processors, and one more: while those compute, the next is cut or
the last reduced. From the cut to what a caller makes of the results, a piece stays in the thread
that runs the network: from thread to thread takes as long as a small network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from time import monotonic, perf_counter
from typing import ParamSpec, TypeVar

import numpy as np

from anyres_analyzer.tiling.plan import Tile
from anyres_server.errors import InvalidRequest, NotANumber, TooLate
from anyres_server.inference.canvas import Mosaic, Placed
from anyres_server.inference.off_loop import OffLoop
from anyres_server.model import Array, Model, Plan, Timing
from anyres_server.observe.asked import asked
from anyres_server.observe.tracing import passed, stage
from anyres_server.picture.image import Source
from anyres_server.routing.pace import Pace
from anyres_server.routing.router import Route
from anyres_server.schedule.admission import Budget
from anyres_server.schedule.batching import Batcher
from anyres_server.schedule.queue import Piece

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Clock:
    """Adds up where the time of one request goes."""

    began: float = field(default_factory=perf_counter)
    decode_s: float = 0.0
    compute_s: float = 0.0
    reduce_s: float = 0.0

    def timing(self) -> Timing:
        """So far; what nothing else accounts for was waiting."""
        busy_s = self.decode_s + self.compute_s + self.reduce_s
        queue_s = max(0.0, perf_counter() - self.began - busy_s)
        return Timing(self.decode_s, queue_s, self.compute_s, self.reduce_s)


@dataclass
class Watch:
    """Times work that is done in another thread, to be read when it is over."""

    seconds: float = 0.0

    def on(self, work: Callable[P, T]) -> Callable[P, T]:
        """The same work, timed."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            began = perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds += perf_counter() - began

        return timed


@dataclass(frozen=True, eq=False)
class Job:
    """One image on its way through the network."""

    model: Model
    source: Source
    mosaic: Mosaic
    clock: Clock

    def plan(self, route: Route) -> Plan:
        """How it goes."""
        return Plan(self.model, self.source.size, self.mosaic.grid, route.kind, len(route.tiles))


@dataclass(frozen=True, eq=False)
class Pieces:
    """Sends pieces through the network."""

    activations: Budget
    batcher: Batcher
    pace: Pace
    off_loop: OffLoop
    at_once: int  # of one image

    def seconds(self, model: Model, tiles: Iterable[Tile]) -> float | None:
        """How long the network should take for some pieces; None before the model's first run."""
        each = [self.pace.seconds(model, tile.size) for tile in tiles]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def check_due(self, model: Model, route: Route) -> None:
        """Refuse at once what cannot be done in time, as far as that can be told.

        Raises:
            TooLate: the caller would be gone.
        """
        request = asked()
        if request is None or request.due is None:
            return
        left_s = request.due - monotonic()
        own_s = self.seconds(model, route.tiles) or 0.0
        queue_s = self.batcher.backlog_s()
        if own_s + queue_s > left_s:
            raise TooLate(
                f"the answer is wanted in {max(0.0, left_s):.3g} s; it would take {own_s:.3g} s, "
                f"after {queue_s:.3g} s for those who came before"
            )

    async def run(
        self,
        job: Job,
        tiles: Sequence[Tile],
        make: Callable[[Placed], T],
        keep: Callable[[T], Awaitable[None]] | None = None,
    ) -> None:
        """Send every piece through the network.

        Args:
            job: the image.
            tiles: its pieces.
            make: what is made of a piece's results, off the event loop.
            keep: takes what was made, on the event loop; the next piece waits for it.
        """
        left = iter(tiles)
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(min(self.at_once, len(tiles))):
                    lanes.create_task(self._lane(job, left, make, keep))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _lane(
        self,
        job: Job,
        tiles: Iterator[Tile],
        make: Callable[[Placed], T],
        keep: Callable[[T], Awaitable[None]] | None,
    ) -> None:
        for tile in tiles:
            made = await self._piece(job, tile, make)
            if keep is not None:
                await keep(made)

    async def _piece(self, job: Job, tile: Tile, make: Callable[[Placed], T]) -> T:
        with stage("tile", top=tile.rows.start, left=tile.columns.start):
            reserved = job.model.cost(tile.size).activation_bytes
            cutting, making = Watch(), Watch()
            piece = Piece(
                job.model.card.input.shape(1, *tile.size),
                cutting.on(lambda: _cut(job, tile)),
                making.on(lambda outputs: make(job.mosaic.placed(tile, outputs))),
            )
            began = perf_counter()
            try:
                async with self.activations.lent(reserved):
                    ran = await self.batcher.infer(job.model, piece, job.mosaic.asked, reserved)
            except NotANumber:
                await self._check_numbers(job, tile)
                raise
            clock = job.clock
            clock.decode_s += cutting.seconds
            clock.compute_s += ran.compute_s
            clock.reduce_s += making.seconds
            _tell_stages(perf_counter() - began, cutting.seconds, ran.compute_s, making.seconds)
            return ran.made

    async def _check_numbers(self, job: Job, tile: Tile) -> None:
        """Blame the image, where it is what holds no numbers."""
        if not await self.off_loop(lambda: bool(np.isfinite(_cut(job, tile)).all())):
            raise InvalidRequest("the image holds NaN or infinity, so there is no answer")


def _cut(job: Job, tile: Tile) -> Array:
    rows, columns = (slice(axis.start, axis.stop) for axis in (tile.rows, tile.columns))
    return job.source.cut(rows, columns)


def _tell_stages(all_s: float, cut_s: float, compute_s: float, make_s: float) -> None:
    """The spans of a piece; it waited before it was cut, and after that for its turn."""
    passed("reduce", make_s)
    passed("compute", compute_s, ago_s=make_s)
    passed("decode", cut_s, ago_s=make_s + compute_s)
    waited_s = max(0.0, all_s - cut_s - compute_s - make_s)
    passed("queue", waited_s, ago_s=make_s + compute_s + cut_s)


def computed_pixels(tiles: Iterable[Tile]) -> int:
    """What goes into the network, halos included."""
    return sum(prod(tile.size) for tile in tiles)
