"""What a caller gets who sends something wrong: a code to act on, and a sentence that says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.tensors import to_tensor

Png = Callable[[NDArray[Any]], bytes]
INVALID = grpc.StatusCode.INVALID_ARGUMENT
SQUARE = np.zeros((8, 8, 3), np.uint8)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((8, 8, 2), np.uint8), "UINT8 (height, width, 3)"),
        (np.zeros((8, 8, 5), np.uint8), "UINT8 (height, width, 3)"),
        (np.zeros((8, 8, 3), np.uint16), "got uint16"),
        (np.zeros((8, 8, 3), np.float32), "(3, height, width)"),
        (np.zeros((0, 8, 3), np.uint8), "at least 1"),
        (np.zeros((), np.uint8), "UINT8 (height, width, 3)"),
    ],
)
async def test_an_array_of_the_wrong_kind_is_told_what_is_expected(
    serve: Any, array: NDArray[Any], expected: str
) -> None:
    request = pb.PredictRequest(model_name="stride4", image=pb.Image(tensor=to_tensor(array)))
    async with serve("stride4") as served:
        code, text = await refused(served.stub.Predict(request))
    assert code is INVALID
    assert expected in text


async def test_a_tensor_that_contradicts_itself_is_refused(serve: Any) -> None:
    tensor = pb.Tensor(data_type=pb.DATA_TYPE_UINT8, shape=[8, 8, 3], data=b"too short")
    request = pb.PredictRequest(model_name="stride4", image=pb.Image(tensor=tensor))
    async with serve("stride4") as served:
        code, text = await refused(served.stub.Predict(request))
    assert code is INVALID
    assert "192 bytes" in text


async def test_a_size_that_a_fixed_network_does_not_take_names_axis_value_and_node(
    serve: Any, save_model: Any, png: Png
) -> None:
    fixed = {
        "verdict": "fixed",
        "minimum": 8,
        "maximum": 8,
        "node": "'g' (Gemm)",
        "reason": "its matrix has 32 rows",
    }
    save_model("head", sizes={"height": fixed, "width": fixed})
    async with serve() as served:
        code, text = await refused(served.predict("head", png(SQUARE[:6])))
    assert code is INVALID
    assert text == (
        "model 'head' takes height H = 8 only, got 6: "
        "node 'g' (Gemm) fixes it: its matrix has 32 rows"
    )


async def test_a_size_between_steps_is_told_the_steps_and_the_node(serve: Any, png: Png) -> None:
    async with serve("unet") as served:
        code, text = await refused(served.predict("unet", png(SQUARE[:7, :5])))
    assert code is INVALID
    assert "height H of 2, 4, 6, ... (steps of 2), got 7" in text
    assert "width W of 2, 4, 6, ... (steps of 2), got 5" in text
    assert "Concat" in text


async def test_a_network_with_channels_of_its_own_takes_only_floats(serve: Any, png: Png) -> None:
    floats = to_tensor(np.zeros((5, 4, 4), np.float32))
    async with serve("five_bands") as served:
        code, text = await refused(served.predict("five_bands", png(SQUARE)))
        await served.stub.Predict(
            pb.PredictRequest(model_name="five_bands", image=pb.Image(tensor=floats))
        )
    assert code is INVALID
    assert "send a FLOAT32 tensor (5, height, width)" in text


async def test_an_unknown_model_is_answered_with_those_there_are(serve: Any, png: Png) -> None:
    async with serve("unet", "stride4") as served:
        answers = [
            await refused(served.predict("other", png(SQUARE))),
            await refused(served.stub.GetModel(pb.GetModelRequest(name="other"))),
        ]
    for code, text in answers:
        assert code is grpc.StatusCode.NOT_FOUND
        assert "stride4, unet" in text


async def test_a_broken_model_says_why_it_cannot_be_asked(
    serve: Any, models: Path, png: Png
) -> None:
    (models / "broken.onnx").write_bytes(b"\x08\x07garbage")
    async with serve("unet") as served:
        code, text = await refused(served.predict("broken", png(SQUARE)))
        await served.predict("unet", png(SQUARE))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "broken.onnx" in text
    assert str(models) not in text


@pytest.mark.parametrize(
    ("kinds", "top_k", "problem"),
    [
        ([99], 0, "no output kind 99"),
        ([pb.OUTPUT_KIND_UNSPECIFIED], 0, "no output kind 0"),
        ([pb.OUTPUT_KIND_LOGITS] * 2, 0, "once"),
        ([pb.OUTPUT_KIND_TOP_K_SCORES], 6, "top_k must be 1 to 5"),
    ],
)
async def test_an_output_that_cannot_be_had_is_refused(
    serve: Any, png: Png, kinds: list[int], top_k: int, problem: str
) -> None:
    async with serve("stride4") as served:
        code, text = await refused(served.predict("stride4", png(SQUARE), *kinds, top_k=top_k))
    assert code is INVALID
    assert problem in text


async def test_a_regression_has_no_classes(serve: Any, save_model: Any, png: Png) -> None:
    save_model(
        "identity", outputs=[{"name": "y", "channels": 3, "dense": True, "meaning": "values"}]
    )
    async with serve() as served:
        code, text = await refused(served.predict("identity", png(SQUARE)))
        await served.predict("identity", png(SQUARE), pb.OUTPUT_KIND_LOGITS)
    assert code is INVALID
    assert "ask for LOGITS" in text


async def test_an_answer_that_no_message_holds_is_refused_before_it_is_computed(
    serve: Any, png: Png
) -> None:
    async with serve("identity", limits_message_bytes=2**16) as served:
        code, text = await refused(
            served.predict(
                "identity", png(np.zeros((100, 100, 3), np.uint8)), pb.OUTPUT_KIND_LOGITS
            )
        )
        await served.predict("identity", png(np.zeros((100, 100, 3), np.uint8)))
    assert code is INVALID
    assert "100x100 cells" in text


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (2**62, 2**62), (10**6, 10**6)])
async def test_no_size_makes_an_estimate_work_forever(serve: Any, size: tuple[int, int]) -> None:
    request = pb.EstimateCostRequest(
        model_name="stride4", image_size=pb.Size(height=size[0], width=size[1])
    )
    async with serve("stride4") as served, asyncio.timeout(2):
        code, _ = await refused(served.stub.EstimateCost(request))
    assert code is INVALID


async def test_a_request_without_an_image_is_refused(serve: Any) -> None:
    async with serve("stride4") as served:
        code, text = await refused(served.stub.Predict(pb.PredictRequest(model_name="stride4")))
    assert code is INVALID
    assert "no image" in text
