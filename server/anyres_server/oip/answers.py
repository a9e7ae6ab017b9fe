"""Requests answered: in one run of the network, picture by picture, or tile by tile.

What the network itself says about a tensor comes of one run, as long as an image goes through it
whole. All else goes the way that images of `anyres.v1` go - decoded, routed, tiled, reduced - each
for itself, several at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import TypeAlias

from anyres_proto.card import Output
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest, TooLate
from anyres_server.inference.canvas import Placed
from anyres_server.inference.inference import Inference
from anyres_server.model import Plan, Prediction, Request, RouteKind, Timing
from anyres_server.oip.pictures import about, check_tiles, picture_request, tile_of, told_of
from anyres_server.oip.request import Asked
from anyres_server.oip.response import Response, Told, classes, numbers, response
from anyres_server.oip.wishes import as_scores

Said: TypeAlias = "dict[str, bool | int | str]"
Tell: TypeAlias = Callable[[], tuple[list[Told], Said]]
Write: TypeAlias = Callable[[Response], Awaitable[None]]

NO_TIME = Timing(0.0, 0.0, 0.0, 0.0)  # a tile's is not told


class Answers:
    """Answers what was asked."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def whole(
        self, request: pb.ModelInferRequest, asked: Asked, finish: Callable[[Response], bytes]
    ) -> bytes:
        """The answer to a request, in one message.

        Args:
            request: it.
            asked: the same, understood.
            finish: makes the message, in a thread.

        Raises:
            InvalidRequest: it asks for tiles, or its input or answer is none.
            TooLate: it takes longer than its caller waits.
        """
        if asked.tiles:
            raise InvalidRequest("tiles come one by one; ask for them by ModelStreamInfer")
        async with _in_time(asked.within_s):
            if await self._goes_in_tiles(asked):
                asked = replace(asked, wishes=tuple(map(as_scores, asked.wishes)))
            tell = await (self._predicted(asked) if asked.reduced else self._ran(asked))
            return await asyncio.to_thread(lambda: finish(response(request, asked.model, *tell())))

    async def tiles(self, request: pb.ModelInferRequest, asked: Asked, write: Write) -> None:
        """The answer to a request about one image: a message for each tile, as soon as it is made.

        Each says where on the grid its cells belong.

        Raises:
            InvalidRequest: it is about several images, or asks for what is not told tile by tile.
            TooLate: it takes longer than its caller waits.
        """
        check_tiles(asked)
        plans: list[Plan] = []
        written, writing = count(), asyncio.Lock()

        async def begin(plan: Plan) -> None:
            plans.append(plan)

        async def deliver(piece: Placed) -> None:
            tile = Prediction(plans[0], NO_TIME, piece.maps)
            told = await asyncio.to_thread(told_of, asked, [tile])
            async with writing:  # so that the last number is the last that is written
                said = tile_of(plans[0], piece, next(written))
                await write(response(request, asked.model, told, said))

        async with _in_time(asked.within_s):
            images = await asyncio.to_thread(asked.read)
            wanted = picture_request(asked, images, 0)
            await self._inference.predict_tiles(asked.model, wanted, begin, deliver)

    async def _goes_in_tiles(self, asked: Asked) -> bool:
        """Whether images are too large for one piece, and their scores are all that is wanted."""
        card = asked.model.card
        scores = card.scores
        if scores is None or not scores.dense or scores.layout != "NCHW":
            return False
        if any(wish.source != scores for wish in asked.wishes):
            return False
        size = card.input.size(asked.shape)
        estimate = await self._inference.estimate(asked.model, size)
        return estimate.route.kind is RouteKind.TILED

    async def _ran(self, asked: Asked) -> Tell:
        """What the network itself says about a tensor."""
        outputs = tuple(wish.source for wish in asked.wishes if isinstance(wish.source, Output))
        values = await self._inference.infer(asked.model, asked.shape, asked.tensor, outputs)

        def tell() -> tuple[list[Told], Said]:
            pairs = zip(asked.wishes, values, strict=True)
            return [
                classes(wish, [value], asked.model) if wish.classes else numbers(wish, value)
                for wish, value in pairs
            ], {}

        return tell

    async def _predicted(self, asked: Asked) -> Tell:
        """What is made of the network's outputs, image by image."""

        def requests() -> list[Request]:
            images = asked.read()
            return [picture_request(asked, images, index) for index in range(asked.images)]

        predictions = await self._inference.predict_all(asked.model, requests)
        return lambda: (told_of(asked, predictions), about(predictions))


@asynccontextmanager
async def _in_time(within_s: float | None) -> AsyncIterator[None]:
    """Give up what takes longer than its caller waits."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as error:
        raise TooLate(
            f"there is no answer within {within_s:.3g} s, the request's own timeout"
        ) from error
