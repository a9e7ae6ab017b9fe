"""Parameters of the Open Inference Protocol: what nobody heeds is refused, what stock clients send
by themselves is not.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from tests.server.stock import stock

from anyres_proto.anyres.v1 import dense_prediction_pb2 as dense
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_proto.tensors import to_tensor

SHAPE = (1, 3, 8, 8)
VALUES = np.zeros(SHAPE, np.float32)
NAN = float("nan")


def parameter(value: Any) -> pb.InferParameter:
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    return pb.InferParameter(**{kinds[type(value)]: value})


def asking(
    of_request: dict[str, Any], of_input: dict[str, Any], of_output: dict[str, Any]
) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(
        model_name="stride4",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=SHAPE)],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="threshold_mask")],
        raw_input_contents=[VALUES.tobytes()],
    )
    holders = (request, of_request), (request.inputs[0], of_input), (request.outputs[0], of_output)
    for holder, given in holders:
        for name, value in given.items():
            holder.parameters[name].CopyFrom(parameter(value))
    return request


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ({"treshold": 0.7}, {}, {}),
            "a request has no parameter 'treshold'; the nearest is thr",
        ),
        (
            ({"colour": "red"}, {}, {}),
            "a request has no parameter 'colour'; there are output_datatype, threshold, "
            "threshold_class, tiles, timeout, top_k",
        ),
        (({}, {"shared_memory_ofset": 4}, {}), "an input has no parameter 'shared_memory_ofset'"),
        (
            ({}, {}, {"class_count": 4}),
            "output 'threshold_mask' has no parameter 'class_count'; there are classification, ",
        ),
        (({"x" * 9999: 1}, {}, {}), f"'{'x' * 64}'...; there are"),
        (({"threshold": NAN}, {}, {}), "parameter 'threshold' is a finite number; got nan"),
        (({"threshold": float("inf")}, {}, {}), "parameter 'threshold' is a finite number; got in"),
        (({"threshold": 1.5}, {}, {}), "threshold must be 0 to 1, a probability; got 1.5"),
        (({"threshold": -1}, {}, {}), "threshold must be 0 to 1, a probability; got -1"),
        (({"threshold_class": 99}, {}, {}), "threshold_class must be 0 to "),
        (({"top_k": 0}, {}, {}), "parameter 'top_k' is at least 1; got 0"),
        (({"timeout": -1}, {}, {}), "parameter 'timeout' is at least 0; got -1"),
        (({"tiles": 1}, {}, {}), "parameter 'tiles' is a bool_param; got int64_param"),
    ],
)
async def test_a_parameter_that_would_change_nothing_is_refused_by_its_name(
    serve: Any, given: tuple[dict[str, Any], dict[str, Any], dict[str, Any]], said: str
) -> None:
    async with serve("stride4") as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await GRPCInferenceServiceStub(served.channel).ModelInfer(asking(*given))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in str(caught.value.details())


async def test_what_clients_of_other_servers_send_is_let_pass(serve: Any) -> None:
    of_request = {
        "priority": 3,
        "sequence_start": False,
        "sequence_end": False,
        "binary_data_output": True,
        "content_type": "np",
        "headers": "{}",
        "triton_enable_empty_final_response": True,
        "threshold": 1,
    }
    of_input = {"binary_data_size": 768, "content_type": "np"}
    of_output = {"binary_data": True}
    async with serve("stride4") as served:
        stub: Any = GRPCInferenceServiceStub(served.channel)
        answer = await stub.ModelInfer(asking(of_request, of_input, of_output))
    assert answer.outputs[0].name == "threshold_mask"


async def test_a_stock_client_is_heard_with_all_its_options(serve: Any) -> None:
    asked = {"model": "stride4", "name": "x", "values": VALUES.tolist()}
    options: dict[str, Any] = {"priority": 1, "timeout": 30_000_000, "sequence_end": True}
    in_a_stream = {"requests": [{**asked, "enable_empty_final_response": True, "priority": 2}]}
    async with serve("stride4") as served:
        heard, streamed, mistyped = await stock(
            served.server.port,
            ("infer", {**asked, **options, "parameters": {"threshold": 0.5}}),
            ("stream", in_a_stream),
            ("infer", {**asked, "parameters": {"topk": 2}}),
        )
    assert list(heard["value"]["outputs"]) == ["y"]
    assert list(streamed["value"][0]["value"]["outputs"]) == ["y"]
    assert mistyped["status"] == "StatusCode.INVALID_ARGUMENT"
    assert mistyped["message"] == "a request has no parameter 'topk'; the nearest is top_k"


@pytest.mark.parametrize("threshold", [NAN, -0.1, 1.1])
async def test_a_threshold_of_a_dense_request_is_a_probability(
    serve: Any, threshold: float
) -> None:
    request = dense.PredictRequest(
        model_name="stride4",
        image=dense.Image(tensor=to_tensor(VALUES[0])),
        outputs=[dense.OUTPUT_KIND_THRESHOLD_MASK],
        threshold=threshold,
    )
    async with serve("stride4") as served:
        with pytest.raises(grpc.aio.AioRpcError, match="threshold must be 0 to 1") as caught:
            await served.stub.Predict(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
