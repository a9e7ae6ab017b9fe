"""What only a hand-made request says in the Open Inference Protocol: elements one by one, and
contradictions that no stock client would send.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def request(**fields: Any) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(model_name="stride4", **fields)


def tensor(*shape: int, **fields: Any) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=shape, **fields)


async def test_elements_may_come_one_by_one_and_the_answer_is_raw(serve: Any, network: Any) -> None:
    images = np.random.default_rng(3).random((1, 3, 9, 6), np.float32)
    (wanted,) = ReferenceEvaluator(network("stride4")).run(None, {"x": images})
    contents = pb.InferTensorContents(fp32_contents=images.ravel().tolist())
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        answer = await stub.ModelInfer(request(inputs=[tensor(*images.shape, contents=contents)]))
    (output,) = answer.outputs
    (raw,) = answer.raw_output_contents
    assert not output.HasField("contents")
    np.testing.assert_allclose(
        np.frombuffer(raw, "<f4").reshape(output.shape), np.asarray(wanted), atol=1e-5
    )


ONE = tensor(1, 3, 1, 1)
RAW = bytes(12)
BIG = 2**62
SHARED = {"shared_memory_region": pb.InferParameter(string_param="region")}
TOP_2 = {"classification": pb.InferParameter(int64_param=2)}
Wish = pb.ModelInferRequest.InferRequestedOutputTensor


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (request(), "takes the one input 'x'; got none"),
        (request(inputs=[ONE, ONE], raw_input_contents=[RAW, RAW]), "got 'x', 'x'"),
        (request(inputs=[ONE]), "needs 3 elements by its shape; got 0"),
        (request(inputs=[ONE], raw_input_contents=[bytes(16)]), "12 bytes of FP32; got 16 bytes"),
        (request(inputs=[ONE], raw_input_contents=[bytes(13)]), "12 bytes of FP32; got 13 bytes"),
        (
            request(inputs=[ONE], raw_input_contents=[RAW, RAW]),
            "one entry for each input .*; got 2",
        ),
        (
            request(inputs=[tensor(-1, 3, -1, 1)], raw_input_contents=[RAW]),
            r"shape \[-1, 3, -1, -1\] .*; got \[-1, 3, -1, 1\]",
        ),
        (
            request(inputs=[tensor(2**40, 3, 2**40, 1)], raw_input_contents=[RAW]),
            "bytes of FP32; got 12 bytes",
        ),
        (
            request(
                inputs=[tensor(1, 3, 1, 1, contents=pb.InferTensorContents(fp32_contents=[1]))],
                raw_input_contents=[RAW],
            ),
            "got contents and another",
        ),
        (
            request(inputs=[tensor(1, 3, 1, 1, contents=pb.InferTensorContents(int_contents=[1]))]),
            "comes in fp32_contents; got int_contents",
        ),
        (request(inputs=[tensor(1, 3, 1, 1, parameters=SHARED)]), "byte_size is missing"),
        (
            request(
                inputs=[ONE],
                raw_input_contents=[RAW],
                outputs=[Wish(name="class_map", parameters=TOP_2)],
            ),
            "holds no scores of classes",
        ),
        (
            request(inputs=[ONE], raw_input_contents=[RAW], outputs=[Wish(name="y")] * 2),
            "asked for 2 times",
        ),
    ],
)
async def test_a_request_that_contradicts_itself_is_refused(
    serve: Any, wrong: pb.ModelInferRequest, complaint: str
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError, match=complaint) as caught:
            await stub.ModelInfer(wrong)
    assert caught.value.code() is INVALID


async def test_an_output_larger_than_a_message_is_refused_before_it_is_computed(
    serve: Any,
) -> None:
    images = np.zeros((1, 3, 40, 40), np.float32)  # 19 KB in, 32 KB out
    async with serve("doubling", limits_message_bytes=20_000) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError, match=r"shape \[1, 2, 80, 80\]") as caught:
            await stub.ModelInfer(
                pb.ModelInferRequest(
                    model_name="doubling",
                    inputs=[tensor(*images.shape)],
                    raw_input_contents=[images.tobytes()],
                )
            )
    assert caught.value.code() is INVALID


async def test_there_is_one_repository_and_it_has_no_name(serve: Any) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError, match="no repository 'other'") as caught:
            await stub.RepositoryIndex(pb.RepositoryIndexRequest(repository_name="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
