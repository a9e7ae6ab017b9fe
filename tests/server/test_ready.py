"""What happens before a model is ready: memory for loading it, and its first runs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.constant import put, until

from anyres_analyzer import analyze
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_server.engine.session import Engine, open_engine
from anyres_server.errors import InferenceFailed
from anyres_server.model import Array, Model
from anyres_server.repository.cards import card_of
from anyres_server.repository.entries import Broken
from anyres_server.repository.warm_up import warm_up_sizes


def proof(height: int, width: int) -> dict[str, Any]:
    return {"batch": 1, "height": height, "width": width, "max_abs_error": 0, "max_rel_error": 0}


class Seen:
    """An engine that notes the sizes that it runs, and breaks at some of them."""

    def __init__(self, engine: Engine, sizes: list[tuple[int, int]], broken: int) -> None:
        self._engine, self._sizes, self._broken = engine, sizes, broken
        self.batches, self.metadata = engine.batches, engine.metadata

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        if (size := (images.shape[2], images.shape[3])) not in self._sizes:
            self._sizes.append(size)
        if images.shape[2] == self._broken:
            raise InferenceFailed("there is a hole in it")
        return self._engine(images, outputs, **how)


def opening(sizes: list[tuple[int, int]], broken: int = 0) -> Any:
    def opened(path: Path, threads: int, **how: Any) -> Any:
        return Seen(open_engine(path, threads=threads), sizes, broken)

    return opened


async def test_a_model_runs_at_its_cards_proven_sizes_before_it_is_ready(
    serve: Any, save_model: Any
) -> None:
    sizes: list[tuple[int, int]] = []
    save_model("stride4", proofs=[proof(64, 32), proof(8, 8), proof(16, 24), proof(32, 32)])
    async with serve(opening=opening(sizes), repository_warm_up_s=30) as served:
        assert sizes == [(8, 8), (16, 24), (64, 32)]
        assert isinstance(served.server.repository.get("stride4"), Model)


async def test_a_models_own_file_says_other_sizes(
    serve: Any, save_model: Any, models: Path
) -> None:
    sizes: list[tuple[int, int]] = []
    save_model("stride4", proofs=[proof(8, 8)])
    (models / "stride4.toml").write_text('warm_up = ["20x12"]\n')
    async with serve(opening=opening(sizes), repository_warm_up_s=30):
        assert sizes == [(12, 20)]


async def test_a_model_that_breaks_at_its_first_run_is_broken_and_the_others_serve(
    serve: Any, save_model: Any
) -> None:
    save_model("stride4", proofs=[proof(8, 8), proof(16, 16)])
    save_model("grey", proofs=[proof(8, 8)])
    async with serve(opening=opening([], broken=16), repository_warm_up_s=30) as served:
        repository = served.server.repository
        (entry,) = repository.versions("stride4").values()
        assert isinstance(entry, Broken)
        assert entry.reason == (
            "it breaks when it runs at 16x16 (width x height): there is a hole in it"
        )
        assert isinstance(repository.get("grey"), Model)


async def test_a_size_that_takes_too_much_memory_is_left_out(serve: Any, save_model: Any) -> None:
    sizes: list[tuple[int, int]] = []
    save_model("unet", proofs=[proof(8, 8), proof(4096, 4096)])
    limits = {"memory_budget": 2**23, "repository_warm_up_s": 30}
    async with serve(opening=opening(sizes), **limits) as served:
        assert sizes == [(8, 8)]
        assert isinstance(served.server.repository.get("unet"), Model)


async def test_when_the_time_is_over_the_model_is_ready(serve: Any, save_model: Any) -> None:
    sizes: list[tuple[int, int]] = []
    save_model("stride4", proofs=[proof(8, 8), proof(16, 16), proof(24, 24)])
    async with serve(opening=opening(sizes), repository_warm_up_s=1e-9) as served:
        assert len(sizes) <= 1, "the second size is not begun"
        assert isinstance(served.server.repository.get("stride4"), Model)


def test_where_nothing_was_proven_a_usual_size_that_is_admitted_is_taken(network: Any) -> None:
    assert warm_up_sizes(card_of("unet", analyze(network("unet")))) == ((256, 256),)
    for name in ("head", "unpadded"):
        sizes = (card := card_of(name, analyze(network(name)))).sizes
        ((height, width),) = warm_up_sizes(card)
        assert sizes.height.admits(height)
        assert sizes.width.admits(width)


async def test_a_model_that_would_take_all_memory_to_load_is_not_loaded(
    serve: Any, models: Path
) -> None:
    put(models / "net.onnx", 1)
    with (models / "large.onnx").open("wb") as file:
        file.truncate(2**22)
    async with serve(memory_budget=2**23) as served:
        (entry,) = served.server.repository.versions("large").values()
        assert isinstance(entry, Broken)
        assert "it cannot be loaded: this takes 8 MiB of memory" in entry.reason
        assert isinstance(served.server.repository.get("net"), Model)


async def test_what_failed_for_want_of_memory_is_tried_again(serve: Any, models: Path) -> None:
    tried: list[Path] = []

    def opening(path: Path, threads: int, **how: Any) -> Any:
        tried.append(path)
        if len(tried) == 1:
            raise MemoryError
        return open_engine(path, threads=threads)

    put(models / "net.onnx", 1)
    async with serve(opening=opening, repository_poll_s=0.5) as served:
        repository = served.server.repository
        (entry,) = repository.versions("net").values()
        assert entry.reason == "there is not enough memory to load net.onnx"
        await until(lambda: isinstance(repository.models["net"]["1"], Model))


async def test_while_models_load_the_server_listens_and_says_that_it_is_not_ready(
    serve: Any, save_model: Any, unused_port: int
) -> None:
    may_load = threading.Event()

    def opened(path: Path, threads: int, **how: Any) -> Any:
        if path.stem == "unet":
            assert may_load.wait(10)
        return open_engine(path, threads=threads)

    save_model("unet")

    async def serving() -> None:
        async with serve("stride4", opening=opened, port=unused_port):
            await asyncio.Event().wait()

    task = asyncio.create_task(serving())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{unused_port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        stub: Any = DensePredictionServiceStub(channel)

        async def status() -> int:
            answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            return int(answer.status)

        assert await status() == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="may still be loading") as caught:
            await stub.GetModel(pb.GetModelRequest(name="unet"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        may_load.set()
        async with asyncio.timeout(10):
            while await status() != health_pb2.HealthCheckResponse.SERVING:
                pass
        assert (await stub.GetModel(pb.GetModelRequest(name="unet"))).name == "unet"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
