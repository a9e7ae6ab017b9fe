"""The one use case: an image of any size in, what the model says about every cell out.

    gate -> header -> pictures' budget -> pixels -> route -> for each piece:
        activations' budget -> batch -> cut and scale -> network -> reduce -> paste

A whole image is a single piece, so both routes are one path. The event loop never computes: files
are decoded in one pool of threads, pieces go their whole way in another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import BinaryIO

import numpy as np

from anyres_analyzer import Cost
from anyres_analyzer.tiling.plan import AxisTile, Tile
from anyres_proto.card import ImageInput, Output
from anyres_server.errors import TooLarge
from anyres_server.inference.bounds import (
    Bounds,
    check_answer,
    check_outputs,
    check_together,
    held_bytes,
    too_much,
)
from anyres_server.inference.canvas import Canvas, Mosaic, Placed
from anyres_server.inference.pieces import Clock, Job, Pieces, Watch, computed_pixels
from anyres_server.inference.several import several
from anyres_server.model import Array, Model, Plan, Prediction, Request, RouteKind, Size, Timing
from anyres_server.observe.asked import asked
from anyres_server.observe.events import Answered
from anyres_server.observe.tracing import passed
from anyres_server.picture.image import Opened, check_pixels, decoding_bytes, open_image
from anyres_server.reduction.reduce import Reduction
from anyres_server.routing.router import Route, Router
from anyres_server.schedule.admission import Admission
from anyres_server.schedule.queue import Piece

IMAGES_IN_FLIGHT = 8  # of one request


@dataclass(frozen=True)
class Estimate:
    """What a size would cost.

    Attributes:
        route: that it would take.
        grid: of the answer.
        reserved_bytes: at once at most: pixels, results, and the pieces that are under way.
        compute_s: of the network; None before the model's first run.
    """

    route: Route
    grid: Size
    reserved_bytes: int
    compute_s: float | None


class Inference:
    """Predicts; what it needs is handed in."""

    def __init__(
        self,
        admission: Admission,
        router: Router,
        pieces: Pieces,
        bounds: Bounds,
    ) -> None:
        self._admission = admission
        self._router = router
        self._pieces = pieces
        self._bounds = bounds

    @property
    def open(self) -> bool:
        """Whether requests are let in."""
        return not self._admission.gate.closed

    @property
    def image_pixels(self) -> int:
        """How many an image may have."""
        return self._bounds.image_pixels

    async def predict(self, model: Model, request: Request) -> Prediction:
        """Answer one request."""
        with self._admission.gate.entered():
            prediction, pixels = await self._predict(model, request)
        _tell(prediction.plan, 1, pixels, prediction.timing)
        return prediction

    async def predict_all(
        self, model: Model, read: Callable[[], Sequence[Request]]
    ) -> list[Prediction]:
        """Answer several requests of one caller, who gets all answers in one message or none."""
        left = self._bounds.answer_bytes

        async def one(request: Request) -> tuple[Prediction, int]:
            nonlocal left
            prediction, pixels = await self._predict(model, request)
            left -= sum(values.nbytes for values in prediction.outputs.values())
            check_together(left, self._bounds.answer_bytes)
            return prediction, pixels

        with self._admission.gate.entered():
            found = await several(one, await self._pieces.off_loop(read), IMAGES_IN_FLIGHT)
        for prediction, pixels in found:
            _tell(prediction.plan, 1, pixels, prediction.timing)
        return [prediction for prediction, _ in found]

    async def _predict(self, model: Model, request: Request) -> tuple[Prediction, int]:
        """The answer, and how many pixels went into the network for it, halos included."""
        reduction = Reduction.of(model.card, request)
        async with self._started(model, request, reduction) as (job, route):
            check_answer(reduction, job.mosaic.grid, self._bounds.answer_bytes)
            canvas = Canvas(job.mosaic.grid, reduction)
            await self._pieces.run(job, route.tiles, canvas.paste)
            if reduction.encodes:
                outputs, seconds = await self._pieces.off_loop.timed(canvas.finish)
                job.clock.reduce_s += seconds
            else:
                outputs = canvas.finish()
            prediction = Prediction(job.plan(route), job.clock.timing(), outputs)
            return prediction, computed_pixels(route.tiles)

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
        reduction = Reduction.of(model.card, request)

        def finished(piece: Placed) -> Placed:
            check_answer(reduction, piece.size, self._bounds.answer_bytes)
            return Placed(piece.rows, piece.columns, reduction.finish(piece.maps))

        with self._admission.gate.entered():
            async with self._started(model, request, reduction) as (job, route):
                await begin(job.plan(route))
                await self._pieces.run(job, route.tiles, finished, deliver)
                _tell(job.plan(route), 1, computed_pixels(route.tiles), job.clock.timing())

    @asynccontextmanager
    async def _started(
        self, model: Model, request: Request, reduction: Reduction
    ) -> AsyncIterator[tuple[Job, Route]]:
        """The image's pixels and route, and the memory for them until the block ends."""
        clock = Clock()
        opened = await self._opened(request.image, model.card.input)
        held = held_bytes(opened, model, reduction)
        pictures = self._admission.pictures
        if held > pictures.total:
            raise TooLarge(
                await self._pieces.off_loop(too_much, pictures, model, opened.size, held)
            )
        async with self._admission.held(prod(opened.size), held):
            if opened.at_hand:
                source = opened.decode()
            else:
                source, clock.decode_s = await self._pieces.off_loop.timed(opened.decode)
                passed("decode", clock.decode_s)
            mosaic = Mosaic(model, source.size, reduction)
            route = await self._route(model, source.size, mosaic.asked)
            self._pieces.check_due(model, route)
            yield Job(model, source, mosaic, clock), route

    async def _opened(self, image: bytes | BinaryIO | Array, spec: ImageInput) -> Opened:
        limit = self._bounds.image_pixels
        if isinstance(image, np.ndarray):
            return open_image(image, spec, limit)
        return await self._pieces.off_loop(open_image, image, spec, limit)

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
            read: gets them, when their turn has nearly come.
            outputs: those that are wanted.
        """
        clock = Clock()
        count, size, dtype = shape[0], model.card.input.size(shape), model.card.input.dtype
        with self._admission.gate.entered():
            cost = await self._pieces.off_loop(lambda: model.cost(size, batch=count))
            shapes = [cost.output_shapes[output.name] for output in outputs]
            check_outputs(shapes, outputs, self._bounds.answer_bytes)
            held = prod(shape) * np.dtype(dtype).itemsize
            async with self._admission.held(count * prod(size), held):
                self._pieces.check_due(model, _whole(size, cost))
                reading, names = Watch(), tuple(output.name for output in outputs)
                piece = Piece(shape, reading.on(read), lambda found: found)
                async with self._admission.activations.lent(cost.activation_bytes):
                    ran = await self._pieces.batcher.infer(
                        model, piece, names, cost.activation_bytes
                    )
            clock.decode_s, clock.compute_s = reading.seconds, ran.compute_s
            passed("compute", ran.compute_s)
            plan = Plan(model, size, model.grid(size), RouteKind.WHOLE, 1)
            _tell(plan, count, count * prod(size), clock.timing())
        return ran.made

    async def estimate(self, model: Model, size: Size) -> Estimate:
        """What an image of this size would cost, without running it."""
        check_pixels(size, self._bounds.image_pixels)
        route: Route = await self._pieces.off_loop(self._router.route, model, size)
        grid, pictures = model.grid(size), self._admission.pictures
        held = decoding_bytes(size, model.card.input) + prod(grid)  # a class map's byte a cell
        if held > pictures.total:
            reason = await self._pieces.off_loop(too_much, pictures, model, size, held)
            route = replace(route, kind=RouteKind.REFUSED, tiles=(), reason=reason)
        under_way = min(len(route.tiles), self._pieces.at_once) * route.activation_bytes
        seconds = self._pieces.seconds(model, route.tiles) if route.tiles else None
        return Estimate(route, grid, held + under_way, seconds)

    async def _route(self, model: Model, size: Size, outputs: tuple[str, ...]) -> Route:
        route = self._router.known(model, size, outputs)
        if route is None:
            route = await self._pieces.off_loop(self._router.route, model, size, outputs)
        if route.kind is RouteKind.REFUSED:
            raise TooLarge(route.reason)
        return route


def _whole(size: Size, cost: Cost) -> Route:
    tile = Tile(*(AxisTile(0, side, 0, side) for side in size))
    return Route(RouteKind.WHOLE, (tile,), cost.macs, cost.activation_bytes, 0)


def _tell(plan: Plan, images: int, pixels: int, timing: Timing) -> None:
    """Whoever wants to know hears that a request was answered."""
    request = asked()
    if request is not None:
        request.tell(Answered(request.call, plan, images, pixels, timing, request.took_s))
