"""What a machine does to a models' folder under a server: rights, full disks, things that are none.

The server is a process without the right to read everything, whoever runs the tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.server.constant import constant, put, until

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.tensors import to_array, to_tensor

ROOT = os.geteuid() == 0
HUMBLE = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-lease") if ROOT else ()
SERVE = (sys.executable, "-m", "anyres_client.main", "serve", "--port", "0")
SWIFT = ("--set", "repository.poll_s=0.1", "--set", "repository.settle_s=0.1")

pytestmark = pytest.mark.skipif(
    ROOT and shutil.which("setpriv") is None, reason="root reads everything, and no setpriv"
)


@dataclass
class Process:
    """A server, what it has logged, and its answers."""

    stub: Any
    log: list[str] = field(default_factory=list)

    async def answer(self, model: str = "net") -> int | str:
        image = pb.Image(tensor=to_tensor(np.zeros((4, 4, 3), np.uint8)))
        try:
            response = await self.stub.Predict(pb.PredictRequest(model_name=model, image=image))
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return int(to_array(response.outputs[0].tensor).max())

    async def comes_to(self, answer: int | str, model: str = "net") -> None:
        async with asyncio.timeout(10):
            while await self.answer(model) != answer:
                pass

    async def says(self, words: str) -> None:
        await until(lambda: any(words in line for line in self.log))


@asynccontextmanager
async def process(models: Path, *options: str, **how: Any) -> AsyncIterator[Process]:
    command = (*HUMBLE, *SERVE, str(models), *SWIFT, *options)
    running = await asyncio.create_subprocess_exec(*command, stdout=PIPE, **{"stderr": PIPE, **how})
    try:
        assert running.stdout is not None
        line = (await running.stdout.readline()).decode()
        address = line.removeprefix("listening on ").strip()
        async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as tasks:
            served = Process(DensePredictionServiceStub(channel))
            reading = tasks.create_task(_read(running.stderr, served.log))
            try:
                yield served
            finally:
                assert running.returncode is None, served.log
                running.terminate()
                await running.wait()
                await reading
    finally:
        if running.returncode is None:
            running.kill()
            await running.communicate()


async def _read(stream: asyncio.StreamReader | None, log: list[str]) -> None:
    while stream and (line := await stream.readline()):
        log.append(line.decode())


async def test_what_may_not_be_read_serves_on_as_it_was_until_it_may(models: Path) -> None:
    put(models / "net.onnx", 1)
    put(models / "other" / "1" / "model.onnx", 2)
    async with process(models) as served:
        assert await served.answer() == 1
        secret = models / ".secret"
        secret.write_bytes(constant(3).SerializeToString())
        secret.chmod(0)
        os.replace(secret, models / "net.onnx")  # noqa: PTH105
        await served.says("Permission denied; the one before it serves on")
        (models / "other").chmod(0)
        await asyncio.sleep(0.05)
        assert (await served.answer(), await served.answer("other")) == (1, 2)
        (models / "net.onnx").chmod(0o600)
        await served.comes_to(3)
        (models / "other").chmod(0o700)
        put(models / "other" / "1" / "model.onnx", 4)
        await served.comes_to(4, "other")
        os.chmod(models, 0)  # noqa: PTH101
        await served.says("cannot be read (Permission denied); what is loaded stays")
        assert await served.answer() == 3
        os.chmod(models, 0o700)  # noqa: PTH101
        put(models / "net.onnx", 5)
        await served.comes_to(5)


async def test_at_the_start_what_may_not_be_read_is_broken_and_the_others_serve(
    models: Path,
) -> None:
    put(models / "net.onnx", 1)
    put(models / "secret.onnx", 2)
    (models / "secret.onnx").chmod(0)
    (models / "loop.onnx").symlink_to(models / "loop.onnx")
    (models / "nowhere.onnx").symlink_to(models / "gone")
    (models / "folder.onnx").mkdir()
    async with process(models) as served:
        assert await served.answer() == 1
        for name in ("secret", "loop", "nowhere"):
            assert await served.answer(name) == "FAILED_PRECONDITION", name
        assert await served.answer("folder") == "NOT_FOUND"


async def test_a_copy_that_a_full_disk_cut_short_serves_nothing_and_harms_nothing(
    models: Path,
) -> None:
    put(models / "net.onnx", 1)
    async with process(models) as served:
        whole = constant(2).SerializeToString()
        (models / "net.onnx").write_bytes(whole[: len(whole) // 2])
        await served.says("the one before it serves on")
        assert await served.answer() == 1
        (models / "net.onnx").write_bytes(whole)
        await served.comes_to(2)


async def test_a_log_that_cannot_be_written_stops_no_reload(models: Path) -> None:
    put(models / "net.onnx", 1)
    full = os.open("/dev/full", os.O_WRONLY)
    async with process(models, stderr=full) as served:
        os.close(full)
        (models / "net.onnx").write_bytes(b"no")
        put(models / "other.onnx", 2)
        await served.comes_to(2, "other")
        assert await served.answer() == 1
        put(models / "net.onnx", 3)
        await served.comes_to(3)


@pytest.mark.skipif(not ROOT, reason="only root gives a file away")
async def test_where_the_kernel_does_not_tell_who_writes_a_file_must_have_been_quiet(
    models: Path,
) -> None:
    """A lease is for a file's owner."""
    put(models / "first.onnx", 6)
    os.chown(models / "first.onnx", 65534, 65534)
    async with process(models, "--set", "repository.settle_s=1") as served:
        assert await served.answer("first") == 6, "it was waited for before the server was ready"
        put(models / ".others", 7)
        os.chown(models / ".others", 65534, 65534)
        os.replace(models / ".others", models / "net.onnx")  # noqa: PTH105
        for _ in range(10):
            os.utime(models / "net.onnx")
            assert await served.answer() in ("NOT_FOUND", "FAILED_PRECONDITION")
            await asyncio.sleep(0.05)
        await served.comes_to(7)


async def test_told_to_stop_while_models_load_it_ends_without_having_served(models: Path) -> None:
    """The first model is asked for while the second is warmed up, for longer than a test lasts."""
    put(models / "first.onnx", 1)
    put(models / "second.onnx", 1)
    (models / "second.toml").write_text(f"warm_up = {[f'{768 + n}x768' for n in range(500)]}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (*SERVE[:-1], str(port), str(models), "--set", "repository.warm_up_s=1h")
    running = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        served = Process(DensePredictionServiceStub(channel))
        await served.comes_to(1, "first")
    running.terminate()
    async with asyncio.timeout(20):
        out, err = await running.communicate()
    assert (running.returncode, out) == (0, b"")
    assert b"told to stop before the models were loaded" in err


@pytest.mark.parametrize("place", ["pipe.onnx", "net/1/model.onnx", "unet.toml"])
async def test_a_pipe_among_the_files_keeps_nobody_waiting(
    serve: Any, models: Path, save_model: Any, place: str
) -> None:
    save_model("unet")
    (models / place).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(models / place)
    async with asyncio.timeout(20), serve("stride4") as served:
        listed = {m.name: m for m in (await served.stub.ListModels(pb.ListModelsRequest())).models}
        assert listed["stride4"].ready
        assert listed["unet"].ready == (place != "unet.toml")
        assert any("no regular file" in model.reason for model in listed.values())


async def test_a_table_in_a_table_in_a_table_breaks_its_own_model_only(
    serve: Any, models: Path, save_model: Any
) -> None:
    save_model("unet")
    (models / "unet.toml").write_text("options = " + "[" * 100_000)
    async with serve("stride4") as served:
        listed = {m.name: m for m in (await served.stub.ListModels(pb.ListModelsRequest())).models}
        assert listed["stride4"].ready
        assert "nested too deeply" in listed["unet"].reason
