"""Tiles against the whole image, on real servers: one with room for everything, one with little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.tensors import to_array

KIB = 1024


@pytest.mark.parametrize(
    ("model", "height", "width", "budget"),
    [
        ("stride4", 97, 131, 60 * KIB),
        ("stride4", 64, 203, 40 * KIB),
        ("unet", 98, 134, 300 * KIB),
        ("unet", 40, 222, 200 * KIB),
        ("unpadded", 61, 83, 40 * KIB),
        ("doubling", 51, 77, 80 * KIB),
    ],
)
async def test_stitched_tiles_equal_the_whole_image(
    serve: Any,
    png: Callable[[NDArray[Any]], bytes],
    model: str,
    height: int,
    width: int,
    budget: int,
) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    kinds = (pb.OUTPUT_KIND_LOGITS, pb.OUTPUT_KIND_CLASS_MAP, pb.OUTPUT_KIND_CONFIDENCE)
    async with serve(model) as served:
        whole = await served.predict(model, png(pixels), *kinds)
    async with serve(memory_whole_image=budget, memory_tile=budget) as served:
        tiled = await served.predict(model, png(pixels), *kinds)
        estimate = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name=model, image_size=pb.Size(height=height, width=width))
        )
    assert (whole.route, whole.pieces) == (pb.ROUTE_WHOLE, 1)
    assert tiled.route == pb.ROUTE_TILED
    assert tiled.pieces > 3
    assert tiled.grid_size == whole.grid_size
    for one, other in zip(whole.outputs, tiled.outputs, strict=True):
        if one.kind == pb.OUTPUT_KIND_CLASS_MAP:
            assert (to_array(one.tensor) == to_array(other.tensor)).mean() > 0.999
        else:
            np.testing.assert_allclose(to_array(one.tensor), to_array(other.tensor), atol=1e-5)
    assert (estimate.route, estimate.pieces) == (tiled.route, tiled.pieces)
    assert estimate.activation_bytes <= budget
    assert estimate.compute_s > 0


async def test_a_network_that_looks_everywhere_runs_whole_as_long_as_memory_allows(
    serve: Any, png: Callable[[NDArray[Any]], bytes]
) -> None:
    async with serve("gated", memory_whole_image=10 * KIB) as served:
        answer = await served.predict("gated", png(np.zeros((60, 60, 3), np.uint8)))
    assert answer.route == pb.ROUTE_WHOLE
