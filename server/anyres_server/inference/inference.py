"""The one use case: an image of any size in, what the model says about every cell out.

    gate -> header -> pictures' budget -> pixels -> route -> for each piece:
        activations' budget -> cut and scale -> batch -> network -> reduce -> paste

A whole image is a single piece, so both routes are one path. The event loop never computes: pixels
are worked on in one pool of threads, networks run in another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import prod
from time import perf_counter
from typing import TypeAlias, TypeVar

import numpy as np

from anyres_analyzer.tiling.plan import Tile
from anyres_proto.card import Output
from anyres_server.errors import TooLarge
from anyres_server.inference.bounds import (
    Bounds,
    check_answer,
    check_outputs,
    check_together,
    held_bytes,
)
from anyres_server.inference.canvas import Canvas, Mosaic, Placed
from anyres_server.inference.several import several
from anyres_server.model import Array, Model, Plan, Prediction, Request, RouteKind, Size, Timing
from anyres_server.picture.image import Source, check_pixels, open_image
from anyres_server.reduction.reduce import Reduction
from anyres_server.routing.router import Route, Router
from anyres_server.schedule.admission import Admission
from anyres_server.schedule.batching import Batcher
from anyres_server.schedule.pace import Pace

T = TypeVar("T")
Keep: TypeAlias = Callable[[Placed], Awaitable[None]]

IMAGES_IN_FLIGHT = 8  # of one request
TILES_IN_FLIGHT = 2  # of one image: one in the network while the next is cut or the last reduced


@dataclass(frozen=True)
class Estimate:
    """What a size would cost: its route, its grid and, if the model has run before, seconds."""

    route: Route
    grid: Size
    compute_s: float | None


@dataclass
class _Clock:
    """Adds up where the time of one request goes."""

    began: float = field(default_factory=perf_counter)
    decode_s: float = 0.0
    compute_s: float = 0.0
    reduce_s: float = 0.0

    def timing(self) -> Timing:
        busy_s = self.decode_s + self.compute_s + self.reduce_s
        queue_s = max(0.0, perf_counter() - self.began - busy_s)
        return Timing(self.decode_s, queue_s, self.compute_s, self.reduce_s)


class Inference:
    """Predicts; what it needs is handed in."""

    def __init__(
        self,
        admission: Admission,
        router: Router,
        batcher: Batcher,
        pool: Executor,
        bounds: Bounds,
    ) -> None:
        self._admission = admission
        self._router = router
        self._batcher = batcher
        self._pool = pool
        self._bounds = bounds
        self._pace = Pace()

    @property
    def open(self) -> bool:
        """Whether requests are let in."""
        return not self._admission.gate.closed

    async def predict(self, model: Model, request: Request) -> Prediction:
        """Answer one request."""
        with self._admission.gate.entered():
            return await self._predict(model, request)

    async def predict_all(
        self, model: Model, read: Callable[[], Sequence[Request]]
    ) -> list[Prediction]:
        """Answer several requests of one caller, who gets all answers in one message or none."""
        left = self._bounds.answer_bytes

        async def one(request: Request) -> Prediction:
            nonlocal left
            prediction = await self._predict(model, request)
            left -= sum(values.nbytes for values in prediction.outputs.values())
            check_together(left, self._bounds.answer_bytes)
            return prediction

        with self._admission.gate.entered():
            return await several(one, await self._off_loop(read), IMAGES_IN_FLIGHT)

    async def _predict(self, model: Model, request: Request) -> Prediction:
        reduction = Reduction(model.card, request.kinds, request.top_k)
        async with self._started(model, request, reduction) as (job, route):
            check_answer(reduction, job.mosaic.grid, self._bounds.answer_bytes)
            canvas = Canvas(job.mosaic.grid, reduction)

            async def paste(piece: Placed) -> None:
                _, seconds = await self._timed(lambda: canvas.paste(piece))
                job.clock.reduce_s += seconds

            await self._run(job, route, paste)
            outputs, seconds = await self._timed(canvas.finish)
            job.clock.reduce_s += seconds
            return Prediction(job.plan(route), job.clock.timing(), outputs)

    async def predict_tiles(
        self,
        model: Model,
        request: Request,
        begin: Callable[[Plan], Awaitable[None]],
        deliver: Callable[[Placed], Awaitable[None]],
    ) -> None:
        """Answer one request piece by piece: the plan first, then results as they are made.

        A caller who is slow to take them holds up its own image only: `deliver` is awaited while
        no memory for activations is held.
        """
        reduction = Reduction(model.card, request.kinds, request.top_k)

        async def finished(piece: Placed) -> None:
            check_answer(reduction, piece.size, self._bounds.answer_bytes)
            outputs, _ = await self._timed(lambda: reduction.finish(piece.maps))
            await deliver(Placed(piece.rows, piece.columns, outputs))

        with self._admission.gate.entered():
            async with self._started(model, request, reduction) as (job, route):
                await begin(job.plan(route))
                await self._run(job, route, finished)

    @asynccontextmanager
    async def _started(
        self, model: Model, request: Request, reduction: Reduction
    ) -> AsyncIterator[tuple[_Job, Route]]:
        """The image's pixels and route, and the memory for them until the block ends."""
        clock = _Clock()
        opened = await self._off_loop(
            open_image, request.image, model.card.input, self._bounds.image_pixels
        )
        async with self._admission.pictures.lent(held_bytes(opened, model, reduction)):
            source, clock.decode_s = await self._timed(opened.decode)
            route = await self._route(model, source.size)
            mosaic = Mosaic(model, source.size, reduction)
            yield _Job(model, source, mosaic, clock), route

    async def infer(
        self,
        model: Model,
        shape: tuple[int, ...],
        read: Callable[[], Array],
        outputs: tuple[Output, ...],
    ) -> tuple[Array, ...]:
        """Some of the network's outputs for images as it takes them, in one piece.

        Args:
            model: whose network.
            shape: of the images, as the network takes them.
            read: gets them, once there is room.
            outputs: those that are wanted.
        """
        count, size, dtype = shape[0], model.card.input.size(shape), model.card.input.dtype
        with self._admission.gate.entered():
            cost = await self._off_loop(lambda: model.cost(size, batch=count))
            shapes = [cost.output_shapes[output.name] for output in outputs]
            check_outputs(shapes, outputs, self._bounds.answer_bytes)
            async with self._admission.pictures.lent(prod(shape) * np.dtype(dtype).itemsize):
                images = await self._off_loop(read)
                async with self._admission.activations.lent(cost.activation_bytes):
                    names = tuple(output.name for output in outputs)
                    pixels = count * prod(size)
                    ran = await self._batcher.infer(model.network, images, names, pixels=pixels)
        return ran.outputs

    async def estimate(self, model: Model, size: Size) -> Estimate:
        """What an image of this size would cost, without running it."""
        check_pixels(size, self._bounds.image_pixels)
        route = await self._off_loop(self._router.route, model, size)
        return Estimate(route, model.grid(size), self._pace.seconds(model, route.macs))

    async def _route(self, model: Model, size: Size) -> Route:
        route: Route = await self._off_loop(self._router.route, model, size)
        if route.kind is RouteKind.REFUSED:
            raise TooLarge(route.reason)
        return route

    async def _run(self, job: _Job, route: Route, keep: Keep) -> None:
        """Send every piece through the network, in order, a few at a time."""
        tiles = iter(route.tiles)
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(min(TILES_IN_FLIGHT, len(route.tiles))):
                    lanes.create_task(self._lane(job, tiles, keep))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _lane(self, job: _Job, tiles: Iterator[Tile], keep: Keep) -> None:
        for tile in tiles:
            await keep(await self._piece(job, tile))

    async def _piece(self, job: _Job, tile: Tile) -> Placed:
        cost = job.model.cost(tile.size)
        rows, columns = (slice(axis.start, axis.stop) for axis in (tile.rows, tile.columns))
        async with self._admission.activations.lent(cost.activation_bytes):
            images, seconds = await self._timed(lambda: job.source.cut(rows, columns))
            job.clock.decode_s += seconds
            ran = await self._batcher.infer(
                job.model.network, images, job.mosaic.asked, pixels=prod(tile.size)
            )
            job.clock.compute_s += ran.compute_s
            self._pace.note(job.model, cost.macs * ran.batch_size, ran.compute_s)
            placed, seconds = await self._timed(lambda: job.mosaic.placed(tile, ran.outputs))
            job.clock.reduce_s += seconds
        return placed

    async def _timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """Off the event loop; the seconds are those of the work, not of the wait for a thread."""

        def timed() -> tuple[T, float]:
            began = perf_counter()
            result = work()
            return result, perf_counter() - began

        return await self._off_loop(timed)

    async def _off_loop(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)


@dataclass(frozen=True, eq=False)
class _Job:
    """One image on its way through the network."""

    model: Model
    source: Source
    mosaic: Mosaic
    clock: _Clock

    def plan(self, route: Route) -> Plan:
        """How it goes."""
        return Plan(self.model, self.source.size, self.mosaic.grid, route.kind, len(route.tiles))
