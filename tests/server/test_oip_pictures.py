"""Pictures in the Open Inference Protocol: encoded files, each of its own size."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from PIL import Image
from tests.server.stock import received, sent, stock

SIZES = [(12, 9), (7, 20), (16, 16)]  # height, width


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def scores(network: Any, name: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ONNX's own evaluator makes of pixels scaled to 0..1: (channels, h, w)."""
    planes = (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    (found,) = ReferenceEvaluator(network(name)).run(None, {"x": planes})
    of_one: NDArray[np.float32] = np.asarray(found)[0]
    return of_one


async def infer(port: int, model: str, **options: Any) -> Any:
    (outcome,) = await stock(port, ("infer", {"model": model, "name": "x", **options}))
    return outcome.get("value", outcome)


async def test_pictures_of_several_sizes_are_answered_by_masks_of_their_own_sizes(
    serve: Any, network: Any, png: Any
) -> None:
    pictures = [picture(*size) for size in SIZES]
    async with serve("stride4") as served:
        answer = await infer(
            served.server.port, "stride4", files=sent(*map(png, pictures)), datatype="BYTES"
        )
    assert answer["datatypes"] == {"mask_png": "BYTES"}
    assert answer["parameters"] == {
        "image_sizes": "9x12,20x7,16x16",
        "grid_sizes": "2x3,5x2,4x4",
        "routes": "whole,whole,whole",
        "pieces": "1,1,1",
    }
    for pixels, mask in zip(pictures, answer["outputs"]["mask_png"], strict=True):
        classes = scores(network, "stride4", pixels).argmax(axis=0)
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(received(mask)))), classes)


async def test_maps_of_several_pictures_are_a_tensor_each(
    serve: Any, network: Any, png: Any
) -> None:
    pictures = [picture(*size) for size in SIZES]
    async with serve("stride4") as served:
        answer = await infer(
            served.server.port,
            "stride4",
            files=sent(*map(png, pictures)),
            datatype="BYTES",
            outputs=["logits", "class_map"],
        )
    assert [*answer["outputs"]] == [
        *("logits.0", "logits.1", "logits.2"),
        *("class_map.0", "class_map.1", "class_map.2"),
    ]
    for index, pixels in enumerate(pictures):
        wanted = scores(network, "stride4", pixels)[None]
        np.testing.assert_allclose(answer["outputs"][f"logits.{index}"], wanted, atol=1e-5)
        classes = answer["outputs"][f"class_map.{index}"]
        np.testing.assert_array_equal(classes, wanted.argmax(axis=1))


async def test_the_networks_own_name_for_its_scores_is_one_of_theirs(
    serve: Any, network: Any, png: Any
) -> None:
    pixels = picture(8, 12)
    async with serve("stride4") as served:
        answer = await infer(
            served.server.port, "stride4", files=sent(png(pixels)), datatype="BYTES", outputs=["y"]
        )
    wanted = scores(network, "stride4", pixels)[None]
    np.testing.assert_allclose(answer["outputs"]["y"], wanted, atol=1e-5)


async def test_a_picture_too_large_for_one_piece_is_tiled_and_its_scores_are_the_same(
    serve: Any, network: Any, png: Any
) -> None:
    pixels = picture(96, 80)
    limits = {"memory_whole_image": 40_000, "memory_tile": 40_000}
    async with serve("stride4", **limits) as served:
        answer = await infer(
            served.server.port,
            "stride4",
            files=sent(png(pixels)),
            datatype="BYTES",
            outputs=["logits"],
        )
    assert answer["parameters"]["routes"] == "tiled"
    assert int(answer["parameters"]["pieces"]) > 1
    wanted = scores(network, "stride4", pixels)[None]
    np.testing.assert_allclose(answer["outputs"]["logits"], wanted, atol=1e-5)


async def test_pictures_may_be_more_than_are_let_in_at_once(serve: Any, png: Any) -> None:
    files = sent(*(png(picture(8, 8 + width)) for width in range(12)))
    async with serve("stride4", limits_requests=1) as served:
        answer = await infer(served.server.port, "stride4", files=files, datatype="BYTES")
    assert len(answer["outputs"]["mask_png"]) == 12


async def test_what_cannot_be_is_refused_with_its_reason(serve: Any) -> None:
    zeros = np.zeros((1, 3, 8, 8)).tolist()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"files": [""], "datatype": "BYTES"}, "the image is empty"),
        ({"files": sent(b"no picture"), "datatype": "BYTES"}, "no image that can be read"),
        ({"files": sent(b"x"), "datatype": "BYTES", "shape": [2]}, "needs 2 elements"),
        ({"files": sent(b"x"), "datatype": "BYTES", "shape": [1, 1, 1]}, r"takes shape [-1]"),
        ({"files": sent(b"x") * 257, "datatype": "BYTES"}, "at most 256 pictures; got 257"),
        (
            {"files": sent(b"x"), "datatype": "BYTES", "outputs": ["z"]},
            "has no output 'z'; there is 'y' and, besides, class_map",
        ),
        (
            {"values": [[[[1, 2]]]], "datatype": "UINT8", "dtype": "uint8"},
            "[-1, -1, -1, 3]",
        ),
        (
            {"values": zeros, "parameters": {"output_datatype": "BF16"}},
            "FP16 or FP32; got 'BF16'",
        ),
        (
            {"values": zeros, "parameters": {"tiles": True}},
            "ModelStreamInfer",
        ),
        ({"values": zeros, "sequence_id": 7}, "no sequences"),
        (
            {
                "values": zeros,
                "outputs": ["top_k_classes"],
                "parameters": {"top_k": 9},
            },
            "top_k must be 1 to 5",
        ),
    ]
    calls = [("infer", {"model": "stride4", "name": "x", **options}) for options, _ in cases]
    async with serve("stride4") as served:
        outcomes = await stock(served.server.port, *calls)
    for outcome, (_, complaint) in zip(outcomes, cases, strict=True):
        assert outcome["status"] == "StatusCode.INVALID_ARGUMENT"
        assert complaint in outcome["message"]


async def test_answers_that_no_message_holds_together_are_refused(serve: Any, png: Any) -> None:
    files = sent(*(png(picture(40, 40)) for _ in range(4)))  # 4 x 12 800 bytes of scores
    async with serve("unet", limits_message_bytes=30_000) as served:
        answer = await infer(
            served.server.port, "unet", files=files, datatype="BYTES", outputs=["logits"]
        )
    assert answer["status"] == "StatusCode.INVALID_ARGUMENT"
    assert "as much as one message holds" in answer["message"]
