"""docs/server/routing.md: its commands run; its refusal and parts of memory are the server's."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.server.command import run

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.settings.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "server" / "routing.md").read_text("utf-8")
(ESTIMATE, TABLE), (BENCHMARK, _) = re.findall(r"```console\n\$ (.*?)\n(.*?)```", PAGE, re.S)
(SHOWN,) = re.findall(r"```\n(model 'gated'.*?)```", PAGE, re.S)
REFUSAL = " ".join(SHOWN.split())


async def test_the_estimate_that_is_shown_is_printed(
    serve: Any, models: Path, save_model: Any, capsys: Any
) -> None:
    save_model("stride4").rename(models / "climate_unet.onnx")
    async with serve() as served:
        words = [*shlex.split(ESTIMATE)[1:], "--server", f"127.0.0.1:{served.server.port}"]
        out = await asyncio.to_thread(run, capsys, *words)
    assert out.code == 0
    assert out.out.splitlines()[0].split() == TABLE.splitlines()[0].split()
    assert out.out.splitlines()[1].split()[0] == TABLE.splitlines()[1].split()[0]


async def test_the_refusal_that_is_shown_is_the_servers(serve: Any) -> None:
    async with serve("gated", memory_budget=2**26) as served:
        size = pb.Size(height=900, width=900)
        told = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name="gated", image_size=size)
        )
        assert told.reason == REFUSAL
        pixels = pb.Tensor(
            data_type=pb.DATA_TYPE_UINT8, shape=[900, 900, 3], data=bytes(900 * 900 * 3)
        )
        request = pb.PredictRequest(model_name="gated", image=pb.Image(tensor=pixels))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.stub.Predict(request)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.value.details() == REFUSAL


def test_the_parts_of_the_budget_are_those_that_are_shown(models: Path) -> None:
    settings = Settings.model_validate({"models": models, "memory": {"budget": 2**30}})
    memory = settings.memory
    assert (memory.pictures, memory.activations, memory.keep_freed) == (2**29, 2**28, 2**27)
    assert settings.memory.whole_image == 2**28
    assert settings.memory.tile == 2**28
    assert "256 MiB" in PAGE


@pytest.mark.exhaustive
def test_the_benchmark_that_is_shown_runs(save_model: Any) -> None:
    import subprocess
    import sys

    small = ["--size", "2000x1500", "--whole", "64x64", "--budget", "64MiB"]
    words = [sys.executable, *shlex.split(BENCHMARK)[1:], str(save_model("unet")), *small]
    subprocess.run(words, cwd=Path(__file__).parents[2], check=True, timeout=300)
