"""The use case for a picture that is never whole in memory.

    header -> route -> bands of tiles -> pictures' budget -> for each band:
        its rows, decoded while the band before is in the network -> its tiles, as in `pieces`

What is held is two bands of rows, what decoding takes, and results that wait to be taken: it grows
with the picture's width, not with its height. A picture that cannot be read from top to bottom goes
the ordinary way, within the limits of ordinary pictures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import ceil, prod
from typing import BinaryIO, TypeVar

import numpy as np

from anyres_server.errors import InvalidRequest, TooLarge
from anyres_server.inference.bounds import check_answer
from anyres_server.inference.canvas import Mosaic, Placed
from anyres_server.inference.inference import Inference
from anyres_server.inference.pieces import Clock, Job, Pieces, computed_pixels
from anyres_server.model import Array, Model, Plan, Request, RouteKind
from anyres_server.observe.asked import asked
from anyres_server.observe.events import Answered
from anyres_server.picture.image import Picture, check_pixels
from anyres_server.picture.received import Received, Way
from anyres_server.picture.strips import STRIP_BYTES, Rows, Strips
from anyres_server.reduction.reduce import Reduction
from anyres_server.routing.bands import Band, bands, held_rows, lowered
from anyres_server.routing.router import Route, Router
from anyres_server.schedule.admission import Admission, Gate
from anyres_server.settings.settings import Settings

T = TypeVar("T")
Begin = Callable[[Plan], Awaitable[None]]
Deliver = Callable[[Placed], Awaitable[None]]


@dataclass(frozen=True)
class StripBounds:
    """What a picture that comes in parts may be."""

    pixels: int
    answer_bytes: int  # of one tile
    stall_s: float  # for a result to be taken


@dataclass(frozen=True, eq=False)
class StripInference:
    """Predicts pictures while they arrive; what it needs is handed in."""

    admission: Admission
    uploads: Gate
    router: Router
    pieces: Pieces
    ordinary: Inference
    bounds: StripBounds

    def entered(self) -> AbstractContextManager[None]:
        """Be one of so many uploads for a while.

        Raises:
            Overloaded: as many as may be are under way.
        """
        return self.uploads.entered()

    async def predict(
        self, model: Model, request: Request, received: Received, begin: Begin, deliver: Deliver
    ) -> None:
        """Answer one request, whose image is what is `received`: the plan first, then results.

        Raises:
            ServingError: as for any request, or as whoever sends it failed.
        """
        reduction = Reduction.of(model.card, request)
        taken = self._in_time(deliver)
        async with _reading(received) as thread:
            way = await _in(thread, lambda: received.way(model.card.input))
            if way.strips is None:
                whole = replace(request, image=await self._whole(thread, way))
                await self.ordinary.predict_tiles(model, whole, begin, taken)
                return
            with self.admission.gate.entered():
                run = _Run(self, model, reduction, way, way.strips, thread)
                await run.predict(begin, taken)

    async def _whole(self, thread: Executor, way: Way) -> BinaryIO:
        """All of a file that cannot be read in strips."""
        limit = self.ordinary.image_pixels
        if way.size[0] * way.size[1] > limit:
            raise InvalidRequest(
                f"the image has {way.size[1]}x{way.size[0]} pixels (width x height) and cannot be "
                f"read from top to bottom: {way.whole}; this server takes at most {limit} pixels "
                f"of such a picture"
            )
        return await _in(thread, way.file)

    def _in_time(self, deliver: Deliver) -> Deliver:
        async def delivered(piece: Placed) -> None:
            try:
                async with asyncio.timeout(self.bounds.stall_s):
                    await deliver(piece)
            except TimeoutError as late:
                raise InvalidRequest(
                    f"nobody took a result for {self.bounds.stall_s:g} s; read them as they come"
                ) from late

        return delivered


def strip_inference(
    settings: Settings,
    admission: Admission,
    router: Router,
    pieces: Pieces,
    ordinary: Inference,
) -> StripInference:
    """As the settings want it."""
    uploads = settings.uploads
    bounds = StripBounds(uploads.pixels, settings.limits.message_bytes, uploads.stall_s)
    gate = Gate(uploads.at_once, "uploads")
    return StripInference(admission, gate, router, pieces, ordinary, bounds)


@dataclass(frozen=True, eq=False)
class _Run:
    """One picture."""

    use: StripInference
    model: Model
    reduction: Reduction
    way: Way
    strips: Strips
    thread: Executor

    async def predict(self, begin: Begin, deliver: Deliver) -> None:
        use, size, clock = self.use, self.way.size, Clock()
        check_pixels(size, use.bounds.pixels)
        mosaic = Mosaic(self.model, size, self.reduction)
        route = await use.pieces.off_loop(self._route)
        if route.kind is RouteKind.REFUSED:
            raise TooLarge(route.reason)
        found = bands(route.tiles)
        plan = Plan(self.model, size, mosaic.grid, route.kind, len(route.tiles))

        def finished(piece: Placed) -> Placed:
            check_answer(self.reduction, piece.size, use.bounds.answer_bytes)
            return Placed(piece.rows, piece.columns, self.reduction.finish(piece.maps))

        async with use.admission.held(prod(size), self._held_bytes(route, found)):
            use.pieces.check_due(self.model, route)
            await begin(plan)
            rows = await self._filled(clock, found[0], None)
            for band, following in zip_longest(found, found[1:]):
                job = Job(self.model, rows, mosaic, clock)
                run = use.pieces.run(job, band.tiles, finished, deliver)
                if following is None:
                    await run
                else:
                    rows = await _both(run, self._filled(clock, following, rows))
        request = asked()
        if request is not None:
            pixels = computed_pixels(route.tiles)
            timing = clock.timing()
            request.tell(Answered(request.call, plan, 1, pixels, timing, request.took_s))

    def _route(self) -> Route:
        """With bands that take at most half of the memory for pictures, as far as that goes."""
        size, outputs = self.way.size, self.reduction.asked
        route = self.use.router.route(self.model, size, outputs)
        room = self.use.admission.pictures.total // 2 - self._reading_bytes
        return lowered(self.model, route, size, max(0, room) // self._row_bytes, outputs)

    @property
    def _row_bytes(self) -> int:
        return self.way.size[1] * self.model.card.input.channels

    @property
    def _reading_bytes(self) -> int:
        """The decoder, and a strip as it comes out of it, on its way to RGB, and as that."""
        return self.way.held_bytes + 3 * STRIP_BYTES

    def _held_bytes(self, route: Route, found: tuple[Band, ...]) -> int:
        """Two bands, what fills them, and a result of each lane that waits to be taken."""
        stride = self.model.card.output.stride
        largest = max(route.tiles, key=lambda tile: tile.size[0] * tile.size[1]).size
        grid = ceil(largest[0] / stride[0]), ceil(largest[1] / stride[1])
        lanes = min(self.use.pieces.at_once, len(route.tiles))
        waiting = 2 * lanes * self.reduction.result_bytes(grid)  # as maps, and as a message
        return held_rows(found) * self._row_bytes + self._reading_bytes + waiting

    async def _filled(self, clock: Clock, band: Band, before: Rows | None) -> Rows:
        """A band's rows: the last of the band before, and then new ones."""

        def fill() -> Rows:
            shape = (band.stop - band.start, self.way.size[1], self.model.card.input.channels)
            pixels: Array = np.empty(shape, np.uint8)
            known = 0
            if before is not None:
                kept = before.rows.pixels[band.start - before.top :]
                known = len(kept)
                pixels[:known] = kept
            self.strips.read_into(pixels[known:])
            return Rows(Picture(pixels, self.model.card.input), band.start, self.way.size)

        began = asyncio.get_running_loop().time()
        rows = await _in(self.thread, fill)
        clock.decode_s += asyncio.get_running_loop().time() - began
        return rows


@asynccontextmanager
async def _reading(received: Received) -> AsyncIterator[Executor]:
    """A thread of its own for what waits for a caller: a slow one keeps no other waiting."""
    thread = ThreadPoolExecutor(1, "upload")
    try:
        yield thread
    finally:
        received.stop()  # so that the thread waits for nothing any more
        await asyncio.shield(_in(thread, received.close))
        thread.shutdown(wait=False)


async def _in(thread: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)


async def _both(run: Awaitable[None], coming: Awaitable[T]) -> T:
    """Two at once; where one fails, the other is given up."""

    async def awaited(work: Awaitable[T]) -> T:
        return await work

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(awaited(run))  # type: ignore[arg-type]
            rows = tasks.create_task(awaited(coming))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    return rows.result()
