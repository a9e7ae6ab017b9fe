"""Requests that share a run of the network get the answers that they would get alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.tensors import to_array
from anyres_server.engine.session import open_engine
from anyres_server.model import Array, LoadedNetwork

Png = Callable[[NDArray[Any]], bytes]


class Watched:
    """A network that remembers the shapes it was given."""

    def __init__(self, network: LoadedNetwork, shapes: list[tuple[int, ...]]) -> None:
        self._network = network
        self._shapes = shapes

    @property
    def batches(self) -> bool:
        return self._network.batches

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._network.metadata

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        self._shapes.append(images.shape)
        return self._network(images, outputs, **how)


async def test_images_of_one_size_share_a_run_and_each_gets_its_own_answer(
    serve: Any, png: Png
) -> None:
    shapes: list[tuple[int, ...]] = []

    def opening(path: Path, *, threads: int) -> Watched:
        return Watched(open_engine(path, threads), shapes)

    random = np.random.default_rng(0)
    images = [png(random.integers(0, 256, (9, 11, 3), np.uint8)) for _ in range(4)]
    logits = pb.OUTPUT_KIND_LOGITS
    async with serve(
        "stride4", opening=opening, batching_max_size=4, batching_max_delay_s=1.0
    ) as served:
        together = await asyncio.gather(*(served.predict("stride4", i, logits) for i in images))
    async with serve(batching_max_size=1) as served:
        alone = [await served.predict("stride4", image, logits) for image in images]
    assert shapes == [(4, 3, 9, 11)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            to_array(one.outputs[0].tensor), to_array(other.outputs[0].tensor), atol=1e-6
        )


async def test_images_of_many_sizes_at_once_are_each_answered_at_their_own(
    serve: Any, png: Png
) -> None:
    sizes = [(height, width) for height in (4, 9, 16) for width in (5, 9, 30)] * 3
    async with serve("identity") as served:
        answers = await asyncio.gather(
            *(served.predict("identity", png(np.zeros((*s, 3), np.uint8))) for s in sizes)
        )
    assert [(a.grid_size.height, a.grid_size.width) for a in answers] == sizes


async def test_images_that_together_exceed_the_memory_take_turns_until_all_are_answered(
    serve: Any, png: Png
) -> None:
    """There is room for one picture and one tile at a time."""
    picture = png(np.zeros((400, 400, 3), np.uint8))
    async with serve("unet", memory_budget=2**22 + 2**20, memory_tile=2**21) as served:
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(served.predict("unet", picture) for _ in range(12)))
    assert {answer.route for answer in answers} == {pb.ROUTE_TILED}
    assert len({answer.outputs[0].tensor.data for answer in answers}) == 1
