"""Shared memory ends where it ends: keys, regions and tensors that would lead anywhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from tests.server.shared import FOLDER, SHAPE, SIZE, Memory, key, parameters, register, request

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory(FOLDER / key()[1:])
    made.fill()
    yield made
    made.remove()


@pytest.fixture
def wrong_keys(memory: Memory, tmp_path: Path) -> Iterator[list[str]]:
    """Keys that are none, or lead somewhere else."""
    outside = tmp_path / "secret"
    outside.write_bytes(bytes(SIZE))
    up = os.path.relpath(outside, FOLDER)
    link, folder, pipe = map(memory.beside, ("link", "folder", "pipe"))
    link.symlink_to(outside)
    folder.mkdir()
    (folder / "inside").write_bytes(bytes(SIZE))
    os.mkfifo(pipe)
    yield [
        *("", "/", ".", "..", "/..", f"{memory.name}/", f"//{memory.name}", "a" * 300),
        *(up, f"/{up}", str(outside), "../proc/self/environ", "a\0b", "a\nb", "nothing-there"),
        *(link.name, folder.name, f"{folder.name}/inside", pipe.name),
    ]
    for made in (link, pipe, folder / "inside"):
        made.unlink()
    folder.rmdir()


async def test_no_key_leads_out_of_shared_memory(
    serve: Any, memory: Memory, wrong_keys: list[str]
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        for key in wrong_keys:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.SystemSharedMemoryRegister(register(memory, key=key), timeout=5)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, key
        status = await stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest())
    assert not status.regions


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"byte_size": SIZE + 1}, f"has {SIZE} bytes; asked are {SIZE + 1} from 0 on"),
        ({"offset": 1}, f"asked are {SIZE} from 1 on"),
        ({"offset": 2**64 - 1}, "asked are"),
        ({"byte_size": 0}, "at least 1 byte"),
        ({"name": ""}, "1 to 256 characters"),
        ({"name": "n" * 257}, "1 to 256 characters"),
    ],
)
async def test_a_region_lies_within_its_memory(
    serve: Any, memory: Memory, fields: dict[str, Any], complaint: str
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        with pytest.raises(grpc.aio.AioRpcError, match=complaint) as caught:
            await stub.SystemSharedMemoryRegister(register(memory, **fields))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_tensor_lies_within_its_region_and_fills_its_part(
    serve: Any, memory: Memory
) -> None:
    cases = [
        (request("images", SIZE + 1), f"has {SIZE} bytes; asked are {SIZE + 1} from 0 on"),
        (request("images", SIZE, 4), f"asked are {SIZE} from 4 on"),
        (request("images", SIZE, -4), "at least 0; got -4"),
        (request("images", SIZE - 4), f"got {SIZE - 4} bytes"),
        (request("images", -1), "at least 0; got -1"),
    ]
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        for wrong, complaint in cases:
            with pytest.raises(grpc.aio.AioRpcError, match=complaint) as caught:
                await stub.ModelInfer(wrong)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await stub.ModelInfer(request("images"))).model_name == "stride4"


async def test_a_region_may_begin_within_its_memory_and_a_tensor_within_its_region(
    serve: Any, memory: Memory
) -> None:
    given = np.frombuffer(memory.contents(), "<f4").reshape(SHAPE)
    tensor = request("images", offset=32)
    tensor.inputs[0].shape[2] = 7  # a row less
    wanted = given.ravel()[24 : 24 + 3 * 7 * 12]  # 64 bytes, and 32 more
    plain = pb.ModelInferRequest(model_name="stride4", raw_input_contents=[wanted.tobytes()])
    plain.inputs.add(name="x", datatype="FP32", shape=(1, 3, 7, 12))
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory, offset=64, byte_size=SIZE - 64))
        tensor.inputs[0].parameters["shared_memory_byte_size"].int64_param = wanted.nbytes
        answers = [await stub.ModelInfer(each) for each in (tensor, plain)]
    assert answers[0].raw_output_contents == answers[1].raw_output_contents


async def test_memory_that_shrinks_after_it_was_registered_harms_nobody_else(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        memory.shrink(4)
        with pytest.raises(grpc.aio.AioRpcError, match="has become smaller") as reading:
            await stub.ModelInfer(request("images"))
        writing = pb.ModelInferRequest(
            model_name="stride4",
            inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=SHAPE)],
            raw_input_contents=[bytes(SIZE)],
            outputs=[
                pb.ModelInferRequest.InferRequestedOutputTensor(
                    name="y", parameters=parameters("images", SIZE)
                )
            ],
        )
        with pytest.raises(grpc.aio.AioRpcError, match="has become smaller"):
            await stub.ModelInfer(writing)
        assert len(memory.contents()) == 4
        memory.fill()
        assert (await stub.ModelInfer(request("images"))).model_name == "stride4"
    assert reading.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_memory_that_may_only_be_read_is_not_written(serve: Any, memory: Memory) -> None:
    memory.protect()
    before = memory.contents()
    asked = request("images")
    asked.outputs.add(name="y").parameters["shared_memory_region"].string_param = "images"
    asked.outputs[0].parameters["shared_memory_byte_size"].int64_param = SIZE
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        with pytest.raises(grpc.aio.AioRpcError, match="may only be read") as caught:
            await stub.ModelInfer(asked)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert memory.contents() == before


async def test_an_output_larger_than_its_part_of_the_region_is_refused(
    serve: Any, memory: Memory
) -> None:
    asked = request("images")
    asked.outputs.add(name="y").parameters["shared_memory_region"].string_param = "images"
    asked.outputs[0].parameters["shared_memory_byte_size"].int64_param = 8
    before = memory.contents()
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        with pytest.raises(grpc.aio.AioRpcError, match=r"takes 120 bytes; .* has 8") as caught:
            await stub.ModelInfer(asked)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert memory.contents() == before
