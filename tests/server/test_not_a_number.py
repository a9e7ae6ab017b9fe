"""A network that says NaN: whoever asks for classes is told, whoever asks for logits gets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference import grpc_service_pb2_grpc as oip_grpc
from anyres_proto.tensors import to_array, to_tensor

SQUARE_ROOTS = """<ir_version: 8, opset_import: ["" : 17]>
roots (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Sqrt (x) }"""


@pytest.fixture(autouse=True)
def _roots(models: Path) -> None:
    onnx.save(onnx.parser.parse_model(SQUARE_ROOTS), models / "roots.onnx")


def asking(pixels: NDArray[np.float32], kind: str) -> pb.PredictRequest:
    return pb.PredictRequest(
        model_name="roots",
        image=pb.Image(tensor=to_tensor(pixels)),
        outputs=[pb.OutputKind.Value(f"OUTPUT_KIND_{kind}")],
        top_k=3,
    )


@pytest.fixture
def negative() -> NDArray[np.float32]:
    """An image (3, h, w) with one value that has no root."""
    pixels = np.ones((3, 6, 8), np.float32)
    pixels[1, 2, 3] = -1
    return pixels


async def test_classes_that_nan_decides_are_an_error_and_logits_come_as_they_are(
    serve: Any, negative: NDArray[np.float32]
) -> None:
    async with serve() as served:
        for kind in ("CLASS_MAP", "MASK_PNG", "CONFIDENCE", "TOP_K_SCORES", "THRESHOLD_MASK"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.stub.Predict(asking(negative, kind))
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION, kind
            said = "model 'roots' gives NaN or infinity in 1 of 48 cells of its output 'y'"
            assert said in str(caught.value.details())
        answer = await served.stub.Predict(asking(negative, "LOGITS"))
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(to_array(answer.outputs[0].tensor), np.sqrt(negative))
        good = await served.stub.Predict(asking(abs(negative), "CLASS_MAP"))
        assert not to_array(good.outputs[0].tensor).any()


async def test_an_image_that_holds_nan_itself_is_to_blame(
    serve: Any, negative: NDArray[np.float32]
) -> None:
    negative[1, 2, 3] = np.nan
    async with serve() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.Predict(asking(negative, "CLASS_MAP"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the image holds NaN or infinity, so there is no answer"


async def test_one_such_image_of_a_stream_is_told_and_the_stream_goes_on(
    serve: Any, negative: NDArray[np.float32]
) -> None:
    images = {"bad": negative, "good": abs(negative)}
    async with serve() as served:
        stream = served.stub.PredictStream(
            pb.PredictStreamRequest(id=name, request=asking(pixels, "CLASS_MAP"))
            for name, pixels in images.items()
        )
        answers = {answer.id: answer async for answer in stream}
    assert answers["bad"].failure.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert answers["good"].WhichOneof("outcome") == "response"


async def test_the_classification_extension_names_no_best_class_of_nan(
    serve: Any, negative: NDArray[np.float32]
) -> None:
    wanted = oip.ModelInferRequest.InferRequestedOutputTensor(name="y")
    request = oip.ModelInferRequest(
        model_name="roots",
        inputs=[
            oip.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3, 6, 8])
        ],
        outputs=[wanted],
        raw_input_contents=[negative.tobytes()],
    )
    async with serve() as served:
        stub: Any = oip_grpc.GRPCInferenceServiceStub(served.channel)
        (raw,) = (await stub.ModelInfer(request)).raw_output_contents
        assert np.isnan(np.frombuffer(raw, np.float32)).sum() == 1
        request.outputs[0].parameters["classification"].int64_param = 2
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "model 'roots' gives NaN, so there are no best classes"
