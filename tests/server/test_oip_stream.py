"""`ModelStreamInfer`: many requests over one call, and images told tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from tests.server.stock import sent, stock


def images(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).random(shape, np.float32)


def expected(network: Any, name: str, given: NDArray[np.float32]) -> NDArray[np.float32]:
    (found,) = ReferenceEvaluator(network(name)).run(None, {"x": given})
    numbers: NDArray[np.float32] = np.asarray(found)
    return numbers


def request(given: NDArray[Any], index: int, **options: Any) -> dict[str, Any]:
    return {
        "model": "stride4",
        "name": "x",
        "values": given.tolist(),
        "request_id": str(index),
        **options,
    }


async def test_answers_come_in_the_order_of_their_requests_each_its_last(
    serve: Any, network: Any
) -> None:
    # The first is the largest, so its answer would be the last.
    given = [images(1, 3, 256, 200), *(images(1, 3, 8, 4 * width) for width in range(2, 20))]
    requests = [request(each, index) for index, each in enumerate(given)]
    async with serve("stride4") as served:
        (outcome,) = await stock(served.server.port, ("stream", {"requests": requests}))
    answers = [answer["value"] for answer in outcome["value"]]
    assert [answer["id"] for answer in answers] == [str(index) for index in range(len(given))]
    assert all(answer["parameters"]["triton_final_response"] for answer in answers)
    for each, answer in zip(given, answers, strict=True):
        wanted = expected(network, "stride4", each)
        np.testing.assert_allclose(answer["outputs"]["y"], wanted, atol=1e-5)


async def test_a_request_that_fails_is_answered_and_the_stream_goes_on(serve: Any) -> None:
    good, bad = images(1, 3, 8, 8), images(1, 4, 8, 8)
    requests = [request(bad, 0), request(good, 1), request(good, 2) | {"model": "nothing"}]
    async with serve("stride4") as served:
        (outcome,) = await stock(served.server.port, ("stream", {"requests": requests}))
    wrong, right, unknown = outcome["value"]
    assert "takes shape [-1, 3, -1, -1]" in wrong["message"]
    assert right["value"]["id"] == "1"
    assert "there is no model 'nothing'" in unknown["message"]


async def test_a_client_may_want_its_stream_ended_by_an_error_with_its_code(serve: Any) -> None:
    requests = [request(images(1, 4, 8, 8), 0)]
    headers = {"triton_grpc_error": "true"}
    async with serve("stride4") as served:
        (outcome,) = await stock(
            served.server.port,
            ("stream", {"requests": requests, "headers": headers}),
        )
    (error,) = outcome["value"]
    assert error["status"] == "StatusCode.INVALID_ARGUMENT"


async def test_the_tiles_of_an_image_make_the_whole_and_the_last_says_that_it_is(
    serve: Any, network: Any, png: Any
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (96, 80, 3), np.uint8)
    tiled = {
        "model": "stride4",
        "name": "x",
        "files": sent(png(pixels)),
        "datatype": "BYTES",
        "outputs": ["class_map", "logits"],
        "parameters": {"tiles": True},
        "request_id": "tiled",
    }
    plain = request(images(1, 3, 8, 8), 1)
    limits = {"memory_whole_image": 40_000, "memory_tile": 40_000}
    async with serve("stride4", **limits) as served:
        (outcome,) = await stock(served.server.port, ("stream", {"requests": [tiled, plain]}))
    answers = [answer["value"] for answer in outcome["value"]]
    of_tiles = [answer for answer in answers if answer["id"] == "tiled"]
    tiles = of_tiles[0]["parameters"]["tiles"]
    assert tiles == len(of_tiles) > 1
    finals = [answer["parameters"]["triton_final_response"] for answer in of_tiles]
    assert finals == [False] * (tiles - 1) + [True]
    wanted = expected(
        network, "stride4", (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    )
    found = np.full(wanted.shape, np.nan, np.float32)
    classes = np.zeros(wanted[:, 0].shape, int)
    for answer in of_tiles:
        said = answer["parameters"]
        assert said["grid_sizes"] == f"{wanted.shape[3]}x{wanted.shape[2]}"
        rows = slice(said["tile_top"], said["tile_top"] + said["tile_height"])
        columns = slice(said["tile_left"], said["tile_left"] + said["tile_width"])
        found[:, :, rows, columns] = answer["outputs"]["logits"]
        classes[:, rows, columns] = answer["outputs"]["class_map"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_array_equal(classes, wanted.argmax(axis=1))


async def test_many_requests_may_be_on_their_way_without_a_stream(serve: Any, network: Any) -> None:
    given = [images(1, 3, 8, 4 * width) for width in range(2, 22)]
    requests = [request(each, index) for index, each in enumerate(given)]
    async with serve("stride4") as served:
        (outcome,) = await stock(served.server.port, ("async_infer", {"requests": requests}))
    answers = {answer["value"]["id"]: answer["value"] for answer in outcome["value"]}
    for index, each in enumerate(given):
        wanted = expected(network, "stride4", each)
        np.testing.assert_allclose(answers[str(index)]["outputs"]["y"], wanted, atol=1e-5)


async def test_messages_may_be_compressed(serve: Any, network: Any) -> None:
    given = images(1, 3, 8, 12)
    calls = [
        ("infer", request(given, index, compression_algorithm=algorithm))
        for index, algorithm in enumerate(("gzip", "deflate"))
    ]
    async with serve("stride4") as served:
        outcomes = await stock(served.server.port, *calls)
    for outcome in outcomes:
        wanted = expected(network, "stride4", given)
        np.testing.assert_allclose(outcome["value"]["outputs"]["y"], wanted, atol=1e-5)
