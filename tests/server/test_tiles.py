"""PredictTiles: a file in chunks goes in, and the tiles that come out are the whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.tensors import to_array

Png = Callable[[NDArray[Any]], bytes]
KINDS = (pb.OUTPUT_KIND_CLASS_MAP, pb.OUTPUT_KIND_LOGITS)


def parts(model: str, file: bytes, chunk: int = 1000) -> Iterator[pb.PredictTilesRequest]:
    yield pb.PredictTilesRequest(header=pb.PredictTilesHeader(model_name=model, outputs=KINDS))
    for start in range(0, len(file), chunk):
        yield pb.PredictTilesRequest(chunk=file[start : start + chunk])


async def refused(served: Any, sent: Iterator[pb.PredictTilesRequest]) -> tuple[Any, str]:
    """By a blocking client: one of grpc.aio that is still sending then makes up its own answer."""

    def ask() -> grpc.RpcError:
        with grpc.insecure_channel(f"127.0.0.1:{served.server.port}") as channel:
            answers = DensePredictionServiceStub(channel).PredictTiles(sent)
            with pytest.raises(grpc.RpcError) as caught:
                list(answers)
            return caught.value

    error: Any = await asyncio.to_thread(ask)
    return error.code(), error.details()


@pytest.mark.parametrize("budget", [2**26, 60_000])
async def test_the_tiles_cover_the_grid_once_and_are_what_predict_says(
    serve: Any, png: Png, budget: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 123, 3), np.uint8)
    async with serve("stride4", memory_whole_image=budget, memory_tile=budget) as served:
        plan, *tiles = [a async for a in served.stub.PredictTiles(parts("stride4", png(pixels)))]
        whole = await served.predict("stride4", png(pixels), *KINDS)
    assert plan.plan.route == whole.route
    assert plan.plan.pieces == len(tiles) == whole.pieces
    assert (len(tiles) > 1) == (budget == 60_000)
    assert plan.plan.image_size == whole.image_size
    grid = plan.plan.grid_size.height, plan.plan.grid_size.width
    covered = np.zeros(grid, int)
    pasted = [np.zeros_like(to_array(output.tensor)) for output in whole.outputs]
    for answer in tiles:
        tile = answer.tile
        place = (
            slice(tile.top, tile.top + tile.size.height),
            slice(tile.left, tile.left + tile.size.width),
        )
        covered[place] += 1
        for canvas, output in zip(pasted, tile.outputs, strict=True):
            canvas[..., *place] = to_array(output.tensor)
    assert (covered == 1).all()
    for canvas, output in zip(pasted, whole.outputs, strict=True):
        np.testing.assert_array_equal(canvas, to_array(output.tensor))


async def test_an_upload_that_is_no_header_and_chunks_is_refused(serve: Any, png: Png) -> None:
    header, chunk = list(parts("stride4", png(np.zeros((4, 4, 3), np.uint8))))
    wrong = {
        "the upload is empty": [],
        "got chunk first": [chunk, header],
        "got header after the header": [header, header, chunk],
        "got an empty part after the header": [header, pb.PredictTilesRequest()],
        "zero bytes": [header],
    }
    async with serve("stride4") as served:
        for complaint, sent in wrong.items():
            code, details = await refused(served, iter(sent))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, complaint
            assert complaint in details


async def test_a_file_over_the_limit_is_refused_before_it_is_whole(serve: Any, png: Png) -> None:
    file = png(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    assert len(file) > 5000
    async with serve("stride4", uploads_file_bytes=5000) as served:
        code, details = await refused(served, parts("stride4", file))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "the limit of an upload" in details


async def test_an_unknown_model_is_not_found(serve: Any) -> None:
    async with serve("stride4") as served:
        code, details = await refused(served, parts("nobody", bytes(10)))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "stride4" in details
