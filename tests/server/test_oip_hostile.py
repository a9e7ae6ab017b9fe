"""Messages made to harm: each is refused at once, in few words, whatever it promises or repeats."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub

MANY = 100_000
HUGE = 2**63 - 1
AT_ONCE_S = 10.0
LONG = "n" * 2**20
Input = pb.ModelInferRequest.InferInputTensor
Output = pb.ModelInferRequest.InferRequestedOutputTensor
Contents = pb.InferTensorContents
Parameter = pb.InferParameter


def request(
    *shape: int, datatype: str = "FP32", raw: bytes | None = None, **fields: Any
) -> pb.ModelInferRequest:
    tensor = Input(name="x", datatype=datatype, shape=shape, **fields)
    contents = [] if raw is None else [raw]
    return pb.ModelInferRequest(model_name="stride4", inputs=[tensor], raw_input_contents=contents)


def files(count: int, raw: bytes) -> pb.ModelInferRequest:
    return request(count, datatype="BYTES", raw=raw)


def wanting(*outputs: Output, **fields: Any) -> pb.ModelInferRequest:
    asked = request(1, 3, 8, 8, raw=bytes(768))
    asked.outputs.extend(outputs)
    for name, parameter in fields.items():
        asked.parameters[name].CopyFrom(parameter)
    return asked


def element(length: int, data: bytes = b"") -> bytes:
    return length.to_bytes(4, "little") + data


SHARED = {
    "shared_memory_region": Parameter(string_param=LONG),
    "shared_memory_byte_size": Parameter(int64_param=HUGE),
    "shared_memory_offset": Parameter(int64_param=HUGE),
}
CASES = {
    "thousands of inputs": pb.ModelInferRequest(
        model_name="stride4", inputs=[Input(name=LONG[:99])] * MANY
    ),
    "thousands of outputs": wanting(*[Output(name="y")] * MANY),
    "thousands of unknown outputs": wanting(*(Output(name=f"y{n}") for n in range(MANY))),
    "thousands of raw contents": pb.ModelInferRequest(
        model_name="stride4",
        inputs=[Input(name="x", datatype="FP32", shape=(1, 3, 8, 8))],
        raw_input_contents=[b"0000"] * MANY,
    ),
    "thousands of axes": request(*[HUGE] * MANY, raw=b""),
    "a product beyond every integer": request(*[HUGE] * 8, raw=b""),
    "a huge shape and no data": request(HUGE, 3, HUGE, HUGE, raw=b""),
    "a huge shape and little data": request(HUGE, 3, HUGE, HUGE, raw=bytes(12)),
    "a huge shape and a list": request(
        HUGE, 3, HUGE, HUGE, contents=Contents(fp32_contents=[1.0] * 3)
    ),
    "a list for a shape of none": request(contents=Contents(fp32_contents=[1.0])),
    "negative sizes": request(-1, 3, -8, 8, raw=bytes(768)),
    "two negative sizes that multiply to a right one": request(1, -3, -8, 8, raw=bytes(768)),
    "no pixels": request(1, 3, 0, 8, raw=b""),
    "one byte too many": request(1, 3, 8, 8, raw=bytes(769)),
    "one byte too few": request(1, 3, 8, 8, raw=bytes(767)),
    "a list of another type": request(1, 3, 1, 1, contents=Contents(bool_contents=[True] * 3)),
    "lists of two types": request(
        1, 3, 1, 1, contents=Contents(fp32_contents=[1.0] * 3, int_contents=[1] * 3)
    ),
    "halves in a list": request(
        1, 3, 1, 1, datatype="FP16", contents=Contents(fp32_contents=[1.0] * 3)
    ),
    "bytes beyond a byte": request(
        1, 1, 1, 3, datatype="UINT8", contents=Contents(uint_contents=[1, 2, 2**31])
    ),
    "a datatype that is none": request(1, 3, 8, 8, datatype="FP33", raw=bytes(768)),
    "a datatype without end": request(1, 3, 8, 8, datatype=LONG, raw=bytes(768)),
    "a name without end": pb.ModelInferRequest(model_name="stride4", inputs=[Input(name=LONG)]),
    "an output's name without end": wanting(Output(name=LONG)),
    "as many pictures as there are numbers": files(HUGE, b""),
    "an element that says it is the largest": files(1, element(2**32 - 1, b"x")),
    "an element that is cut": files(1, element(10, b"x")),
    "half a length": files(1, b"\1\0"),
    "more elements than the shape says": files(1, element(0) * MANY),
    "fewer elements than the shape says": files(200, element(0)),
    "empty pictures": files(3, element(0) * 3),
    "a region without end": request(1, 3, 8, 8, parameters=SHARED),
    "a size that is text": request(
        1, 3, 8, 8, parameters=SHARED | {"shared_memory_byte_size": Parameter(string_param="1")}
    ),
    "a region that is a number": request(
        1, 3, 8, 8, parameters={"shared_memory_region": Parameter(int64_param=1)}
    ),
    "no time at all": wanting(timeout=Parameter(int64_param=-1)),
    "time that is text": wanting(timeout=Parameter(string_param="soon")),
    "a parameter of no type": wanting(timeout=Parameter()),
    "tiles that are a number": wanting(tiles=Parameter(int64_param=1)),
    "more classes than numbers": wanting(
        Output(name="y", parameters={"classification": Parameter(uint64_param=2**64 - 1)}),
        Output(name="y"),
    ),
}
# What is wrong with these could also be found later, at more expense, or not at all.
WORDS = {
    "thousands of raw contents": "one entry for each input",
    "thousands of axes": "takes shape",
    "no pixels": "takes shape",
    "two negative sizes that multiply to a right one": "takes shape",
    "bytes beyond a byte": "holds 0 to 255; got 2147483648",
    "an element that says it is the largest": "says that it has 4294967295 bytes; 1 are left",
    "more elements than the shape says": "follow the last one",
    "as many pictures as there are numbers": "at most 256 pictures",
}
FOUND = {"a region without end": grpc.StatusCode.NOT_FOUND}


async def test_each_is_refused_at_once_and_the_server_goes_on(serve: Any) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        for name, message in CASES.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ModelInfer(message, timeout=AT_ONCE_S)
            wanted = FOUND.get(name, grpc.StatusCode.INVALID_ARGUMENT)
            assert caught.value.code() is wanted, (name, caught.value.details())
            assert len(caught.value.details() or "") < 1000, name
            assert WORDS.get(name, "") in (caught.value.details() or ""), name
        answer = await stub.ModelInfer(request(1, 3, 8, 8, raw=bytes(768)))
    assert list(answer.outputs[0].shape) == [1, 5, 2, 2]


async def test_one_stream_is_answered_message_by_message(serve: Any) -> None:
    good = request(1, 3, 8, 8, raw=np.zeros((1, 3, 8, 8), "<f4").tobytes())
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        call = stub.ModelStreamInfer(
            iter([*CASES.values(), pb.ModelInferRequest(model_name=LONG), good]),
            timeout=6 * AT_ONCE_S,
        )
        answers = [answer async for answer in call]
    assert [bool(answer.error_message) for answer in answers] == [True] * (len(CASES) + 1) + [False]
    assert all(len(answer.error_message) < 2000 for answer in answers)


@pytest.mark.parametrize("name", [LONG, "", "../../etc/passwd", "a\0b", "\U0001f600"])
async def test_a_model_that_is_none_is_not_there_in_any_call(serve: Any, name: str) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        calls = [
            stub.ModelMetadata(pb.ModelMetadataRequest(name=name)),
            stub.ModelConfig(pb.ModelConfigRequest(name=name)),
            stub.ModelInfer(pb.ModelInferRequest(model_name=name)),
            stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=name)),
            stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=name)),
        ]
        if name:
            calls.append(stub.ModelStatistics(pb.ModelStatisticsRequest(name=name)))
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert len(caught.value.details() or "") < 2000
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name=name))).ready
