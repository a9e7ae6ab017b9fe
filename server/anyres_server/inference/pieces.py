"""The pieces of one image on their way through the network, several at a time.

for each piece:   cut and scale -> activations' budget -> batch -> network -> reduce, make -> keep

As many are under way as there are processors, and one more: while those compute, the next is cut or
the last reduced. What a caller makes of a piece's results is made in the thread that reduced them:
from thread to thread takes as long as a small network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from time import monotonic, perf_counter
from typing import TypeVar

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
            images = await self._cut(job, tile)  # while another one computes
            waiting = perf_counter()
            async with self.activations.lent(reserved):
                ran = await self.batcher.infer(job.model, images, job.mosaic.asked, reserved)
            del images
            job.clock.compute_s += ran.compute_s
            passed("queue", perf_counter() - waiting - ran.compute_s, ago_s=ran.compute_s)
            passed("compute", ran.compute_s)
            outputs = ran.outputs
            try:
                made, seconds = await self.off_loop.timed(
                    lambda: make(job.mosaic.placed(tile, outputs))
                )
            except NotANumber:
                await self._check_numbers(job, tile)
                raise
            job.clock.reduce_s += seconds
            passed("reduce", seconds)
            return made

    async def _check_numbers(self, job: Job, tile: Tile) -> None:
        """Blame the image, where it is what holds no numbers."""
        images = await self._cut(job, tile)
        if not await self.off_loop(lambda: bool(np.isfinite(images).all())):
            raise InvalidRequest("the image holds NaN or infinity, so there is no answer")

    async def _cut(self, job: Job, tile: Tile) -> Array:
        rows, columns = (slice(axis.start, axis.stop) for axis in (tile.rows, tile.columns))
        images, seconds = await self.off_loop.timed(lambda: job.source.cut(rows, columns))
        job.clock.decode_s += seconds
        passed("decode", seconds)
        return images


def computed_pixels(tiles: Iterable[Tile]) -> int:
    """What goes into the network, halos included."""
    return sum(prod(tile.size) for tile in tiles)
