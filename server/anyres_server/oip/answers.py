"""Requests answered: in one run of the network, picture by picture, or tile by tile.

What the network itself says about a tensor comes of one run. All else goes the way that images of
`anyres.v1` go - decoded, routed, tiled, reduced - each for itself, several at once. Pictures have
sizes of their own, so every map of theirs is a tensor of its own, `class_map.0` for the first of
several; files, such as `mask_png`, are elements of one tensor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeAlias

from anyres_proto.card import Output
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.inference.canvas import Placed
from anyres_server.inference.inference import Inference
from anyres_server.model import Plan, Prediction, Request, Timing
from anyres_server.oip.pictures import about, check_tiles, picture_request, tile_of, told_of
from anyres_server.oip.request import Asked
from anyres_server.oip.response import Response, Told, classes, numbers, response

Said: TypeAlias = "dict[str, bool | int | str]"
Write: TypeAlias = Callable[[Response], Awaitable[None]]

NOTHING: Said = {}
NO_TIME = Timing(0.0, 0.0, 0.0, 0.0)  # a tile's is not told


class Answers:
    """Answers what was asked."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def whole(self, request: pb.ModelInferRequest, asked: Asked) -> Response:
        """The answer to a request, in one message.

        Raises:
            InvalidRequest: it asks for tiles, or its input or answer is none.
        """
        if asked.tiles:
            raise InvalidRequest("tiles come one by one; ask for them by ModelStreamInfer")
        if asked.reduced:
            predictions = await self._predictions(asked)
            told, said = await asyncio.to_thread(told_of, asked, predictions), about(predictions)
        else:
            told, said = await self._tensors(asked), NOTHING
        return await asyncio.to_thread(response, request, asked.model, told, said)

    async def tiles(self, request: pb.ModelInferRequest, asked: Asked, write: Write) -> None:
        """The answer to a request about one image: a message for each tile, as soon as it is made.

        Each says where on the grid its cells belong.

        Raises:
            InvalidRequest: it is about several images, or asks for what is not told tile by tile.
        """
        check_tiles(asked)
        images = await asyncio.to_thread(asked.read)
        plans: list[Plan] = []
        written = count()

        async def begin(plan: Plan) -> None:
            plans.append(plan)

        async def deliver(piece: Placed) -> None:
            number = next(written)
            tile = Prediction(plans[0], NO_TIME, piece.maps)
            said = tile_of(plans[0], piece, number)
            told = await asyncio.to_thread(told_of, asked, [tile])
            await write(response(request, asked.model, told, said))

        wanted = picture_request(asked, images, 0)
        await self._inference.predict_tiles(asked.model, wanted, begin, deliver)

    async def _tensors(self, asked: Asked) -> list[Told]:
        """The network's own outputs for a tensor, as they are."""
        outputs = tuple(wish.source for wish in asked.wishes if isinstance(wish.source, Output))
        values = await self._inference.infer(asked.model, asked.shape, asked.tensor, outputs)
        return await asyncio.to_thread(
            lambda: [
                classes(wish, [value], asked.model) if wish.classes else numbers(wish, value)
                for wish, value in zip(asked.wishes, values, strict=True)
            ]
        )

    async def _predictions(self, asked: Asked) -> list[Prediction]:
        def requests() -> list[Request]:
            images = asked.read()
            return [picture_request(asked, images, index) for index in range(asked.images)]

        return await self._inference.predict_all(asked.model, requests)
