"""The command as a process: it says where it listens, and stops kindly when it is told to."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub

Png = Callable[[NDArray[Any]], bytes]
ANYRES = (sys.executable, "-m", "anyres_client.main", "serve")


@asynccontextmanager
async def process(*arguments: object) -> AsyncIterator[Process]:
    running = await asyncio.create_subprocess_exec(
        *ANYRES, *map(str, arguments), stdout=PIPE, stderr=PIPE
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def address(running: Process) -> str:
    assert running.stdout is not None
    line = (await running.stdout.readline()).decode()
    assert line.startswith("listening on 127.0.0.1:"), line
    return line.removeprefix("listening on ").strip()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_finishes_what_runs_and_refuses_the_rest(
    models: Path, save_model: Any, png: Png, sign: signal.Signals
) -> None:
    """All eight requests are in when the first is answered: then comes the signal."""
    save_model("stride4")
    image = pb.Image(encoded=png(np.zeros((1200, 1200, 3), np.uint8)))
    request = pb.PredictRequest(model_name="stride4", image=image)

    async with process(models, "--port", 0) as running:
        async with grpc.aio.insecure_channel(await address(running)) as channel:
            stub = DensePredictionServiceStub(channel)
            health: Any = health_pb2_grpc.HealthStub(channel)
            calls = [asyncio.ensure_future(_answer(stub, request)) for _ in range(8)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            running.send_signal(sign)
            await _not_serving(health)
            late = await _answer(stub, request)
            codes = await asyncio.gather(*calls)
        assert await asyncio.wait_for(running.wait(), 10) == 0
    assert codes == [grpc.StatusCode.OK] * 8
    assert late is grpc.StatusCode.UNAVAILABLE


async def _answer(stub: Any, request: pb.PredictRequest) -> grpc.StatusCode:
    try:
        await stub.Predict(request)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def _not_serving(health: Any) -> None:
    async for answer in health.Watch(health_pb2.HealthCheckRequest()):
        if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return


async def refusal(*arguments: object) -> tuple[int | None, str, str]:
    async with process(*arguments) as running:
        out, err = await asyncio.wait_for(running.communicate(), 20)
    return running.returncode, out.decode(), err.decode()


async def test_a_folder_that_is_not_there_is_one_line_and_exit_code_two(tmp_path: Path) -> None:
    code, out, err = await refusal(tmp_path / "nowhere", "--port", 0, "--log-level", "error")
    assert (code, out) == (2, "")
    assert err == (
        f"anyres serve: there is no folder {tmp_path}/nowhere; "
        "expected one with <name>.onnx files\n"
    )


async def test_a_port_that_is_taken_is_one_line_and_exit_code_two(models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = await refusal(models, "--port", port, "--log-level", "error")
    assert code == 2
    assert [line for line in err.splitlines() if line.startswith("anyres serve:")] == [
        f"anyres serve: cannot listen on 127.0.0.1:{port}: "
        "the port is taken, or the address is not this machine's"
    ]
    assert "Traceback" not in err


async def test_a_setting_that_cannot_be_is_named(models: Path) -> None:
    code, _, err = await refusal(models, "--memory-budget", 5)
    assert code == 2
    assert "memory.budget" in err
    assert len(err.splitlines()) == 1
