"""Regions of shared memory: tensors in them, and what is kept from leading anywhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tests.server.stock import stock

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub

FOLDER = Path("/dev/shm")
SHAPE = (1, 3, 8, 12)
SIZE = 4 * 3 * 8 * 12  # bytes of such a tensor
ANSWER = (1, 5, 2, 3)


@dataclass(frozen=True)
class Memory:
    """A file of shared memory, of `SIZE` bytes."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.name}-{what}")

    def fill(self) -> None:
        self.path.write_bytes(np.random.default_rng(5).random(SHAPE, np.float32).tobytes())

    def shrink(self, size: int) -> None:
        os.truncate(self.path, size)

    def contents(self) -> bytes:
        return self.path.read_bytes()

    def protect(self) -> None:
        self.path.chmod(0o400)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def opened(self) -> int:
        """How often this process has it open."""
        links = (each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
        return sum(self.name in str(link) for link in links)


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory(FOLDER / f"anyres-test-{uuid4().hex}")
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


def parameters(region: str, byte_size: int, offset: int = 0) -> dict[str, pb.InferParameter]:
    return {
        "shared_memory_region": pb.InferParameter(string_param=region),
        "shared_memory_byte_size": pb.InferParameter(int64_param=byte_size),
        "shared_memory_offset": pb.InferParameter(int64_param=offset),
    }


def request(region: str, byte_size: int = SIZE, offset: int = 0) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=SHAPE, parameters=parameters(region, byte_size, offset)
    )
    return pb.ModelInferRequest(model_name="stride4", inputs=[tensor])


def register(memory: Memory, **fields: Any) -> pb.SystemSharedMemoryRegisterRequest:
    said: dict[str, Any] = {"name": "images", "key": f"/{memory.name}", "byte_size": SIZE}
    said |= fields
    return pb.SystemSharedMemoryRegisterRequest(**said)


async def test_a_stock_client_shares_what_goes_in_and_what_comes_out(
    serve: Any, network: Any
) -> None:
    given = np.random.default_rng(4).random(SHAPE, np.float32)
    names = {name: f"/anyres-test-{uuid4().hex}" for name in ("in", "out")}
    answer_bytes = 4 * int(np.prod(ANSWER))
    asked = {
        "model": "stride4",
        "name": "x",
        "shape": SHAPE,
        "region": {"region_name": "in", "byte_size": SIZE},
        "outputs": [{"name": "y", "region": {"region_name": "out", "byte_size": 500, "offset": 8}}],
    }
    async with serve("stride4") as served:
        outcomes = await stock(
            served.server.port,
            ("unregister_system_shared_memory", {}),
            (
                "share",
                {"name": "in", "key": names["in"], "size": SIZE, "values": given.tolist()},
            ),
            ("share", {"name": "out", "key": names["out"], "size": 512}),
            ("get_system_shared_memory_status", {"as_json": True}),
            ("infer", asked),
            ("shared", {"name": "out", "shape": [2 + answer_bytes // 4]}),
            ("unregister_system_shared_memory", {"name": "in"}),
            ("infer", asked),
        )
    status, answer, values, _, unknown = outcomes[3:]
    assert status["value"]["regions"]["in"] == {
        "name": "in",
        "key": names["in"],
        "byte_size": str(SIZE),
    }
    assert answer["value"]["outputs"] == {"y": {"region": "out"}}
    (wanted,) = ReferenceEvaluator(network("stride4")).run(None, {"x": given})
    found = np.reshape(values["value"][2:], ANSWER)
    np.testing.assert_allclose(found, np.asarray(wanted), atol=1e-5)
    assert unknown["status"] == "StatusCode.NOT_FOUND"


async def test_a_region_is_registered_once_and_forgotten_as_often_as_one_likes(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        with pytest.raises(grpc.aio.AioRpcError, match="already registered") as taken:
            await stub.SystemSharedMemoryRegister(register(memory))
        for _ in range(2):
            await stub.SystemSharedMemoryUnregister(
                pb.SystemSharedMemoryUnregisterRequest(name="images")
            )
        with pytest.raises(grpc.aio.AioRpcError, match="no region 'images'") as gone:
            await stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest(name="images"))
    assert taken.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


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


async def test_a_region_outlives_its_name_in_the_folder_and_is_closed_when_forgotten(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4") as served:
        stub = GRPCInferenceServiceStub(served.channel)
        await stub.SystemSharedMemoryRegister(register(memory))
        memory.remove()
        assert (await stub.ModelInfer(request("images"))).model_name == "stride4"
        assert memory.opened() == 1
        await stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest())
        assert memory.opened() == 0


async def test_there_are_no_more_regions_than_the_server_allows(serve: Any, memory: Memory) -> None:
    async with serve("stride4", limits_shared_regions=2) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        for name in "ab":
            await stub.SystemSharedMemoryRegister(register(memory, name=name))
        with pytest.raises(grpc.aio.AioRpcError, match="2 regions are registered") as caught:
            await stub.SystemSharedMemoryRegister(register(memory, name="c"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_server_may_share_no_memory_and_then_promises_none(
    serve: Any, memory: Memory
) -> None:
    async with serve("stride4", limits_shared_regions=0) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        about = await stub.ServerMetadata(pb.ServerMetadataRequest())
        codes = []
        for call in (
            stub.SystemSharedMemoryRegister(register(memory)),
            stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest()),
            stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest()),
            stub.ModelInfer(request("images")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            codes.append(caught.value.code())
    assert "system_shared_memory" not in about.extensions
    assert codes == [grpc.StatusCode.UNIMPLEMENTED] * 4
