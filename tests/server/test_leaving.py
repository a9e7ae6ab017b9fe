"""Who leaves costs a tile or a node at most, and who has too little time is told so at once.

The networks here never end by themselves: a server that did not stop them would answer nobody else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.engine.session import Engine, open_engine
from anyres_server.errors import Stopped
from anyres_server.model import Array, Stop

Png = Callable[[NDArray[Any]], bytes]
PATIENCE_S = 20.0
ENDLESS = """<ir_version: 8, opset_import: ["" : 17]>
endless (float[N,1,H,W] x) => (float[N,1,H,W] y)
<int64 times = {4611686018427387904}, bool on = {1}> {
    y = Loop <body = once (int64 i, bool go, float[N,1,H,W] before)
        => (bool again, float[N,1,H,W] after) {
        again = Identity (go)
        after = Abs (before)
    }> (times, on, x)
}"""


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("endless") / "endless.onnx"
    onnx.save(onnx.parser.parse_model(ENDLESS), path)
    return open_engine(path, threads=2)


class Told(Stop):
    """Says when somebody has begun to listen."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        with super().heard_by(listener):
            self.heard.set()
            yield


@pytest.mark.parametrize("wide", [True, False])
async def test_a_run_that_never_ends_is_stopped_between_two_nodes(
    endless: Engine, wide: bool
) -> None:
    stop = Told()
    async with asyncio.timeout(PATIENCE_S):
        image = np.zeros((1, 1, 4, 4), np.float32)
        running = asyncio.ensure_future(
            asyncio.to_thread(endless, image, ["y"], wide=wide, stop=stop)
        )
        assert await asyncio.to_thread(stop.heard.wait, PATIENCE_S)
        stop.say()
        with pytest.raises(Stopped, match="1x1x4x4"):
            await running


@pytest.mark.parametrize("wide", [True, False])
def test_a_run_that_was_stopped_before_it_began_does_not_begin(endless: Engine, wide: bool) -> None:
    stop = Stop()
    stop.say()
    with pytest.raises(Stopped):
        endless(np.zeros((1, 1, 4, 4), np.float32), ["y"], wide=wide, stop=stop)


def test_wide_and_narrow_runs_say_the_same(save_model: Any) -> None:
    engine = open_engine(save_model("unet"), threads=2)
    images = np.random.default_rng(0).normal(size=(2, 3, 16, 24)).astype(np.float32)
    (wide,), (narrow,) = (engine(images, ["y"], wide=wide) for wide in (True, False))
    np.testing.assert_allclose(wide, narrow, atol=1e-6)


class Mill:
    """Loads networks whose first run never ends unless it is stopped; counts all."""

    def __init__(self, endless: Engine) -> None:
        self.endless = endless
        self.began = threading.Event()
        self.stopped = 0
        self.runs: list[tuple[int, ...]] = []

    def open(self, path: Path, *, threads: int) -> Milling:
        return Milling(open_engine(path, threads), self)


class Milling:
    def __init__(self, engine: Engine, mill: Mill) -> None:
        self._engine = engine
        self._mill = mill

    @property
    def batches(self) -> bool:
        return self._engine.batches

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._engine.metadata

    def __call__(
        self, images: Array, outputs: Sequence[str], *, wide: bool = True, stop: Stop | None = None
    ) -> tuple[Array, ...]:
        mill = self._mill
        mill.runs.append(images.shape)
        if len(mill.runs) > 1:
            return self._engine(images, outputs, wide=wide, stop=stop)
        mill.began.set()
        try:
            return mill.endless(np.zeros((1, 1, 4, 4), np.float32), ["y"], wide=wide, stop=stop)
        except Stopped:
            mill.stopped += 1
            raise


@pytest.fixture
def mill(endless: Engine) -> Mill:
    return Mill(endless)


async def test_a_client_that_leaves_stops_the_run_and_the_next_is_answered(
    serve: Any, mill: Mill, png: Png
) -> None:
    image = png(np.zeros((8, 8, 3), np.uint8))
    async with serve("stride4", opening=mill.open) as served, asyncio.timeout(PATIENCE_S):
        leaver = asyncio.ensure_future(served.predict("stride4", image))
        assert await asyncio.to_thread(mill.began.wait, PATIENCE_S)
        leaver.cancel()
        await served.predict("stride4", image)  # there is one thread, and the run had it
    assert mill.stopped == 1
    assert len(mill.runs) == 2


async def test_a_client_whose_time_is_over_stops_the_run_too(
    serve: Any, mill: Mill, png: Png
) -> None:
    image = png(np.zeros((8, 8, 3), np.uint8))
    asked = pb.PredictRequest(model_name="stride4", image=pb.Image(encoded=image))
    async with serve("stride4", opening=mill.open) as served, asyncio.timeout(PATIENCE_S):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.Predict(asked, timeout=0.5)
        await served.predict("stride4", image)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert mill.stopped == 1


async def test_of_an_image_in_tiles_no_further_one_runs_when_the_client_has_left(
    serve: Any, mill: Mill, png: Png
) -> None:
    picture = png(np.zeros((400, 400, 3), np.uint8))
    small = png(np.zeros((8, 8, 3), np.uint8))
    limits = {"memory_budget": 2**22 + 2**20, "memory_tile": 2**21}
    async with serve("unet", opening=mill.open, **limits) as served, asyncio.timeout(PATIENCE_S):
        estimate = await served.stub.EstimateCost(
            pb.EstimateCostRequest(model_name="unet", image_size=pb.Size(height=400, width=400))
        )
        leaver = asyncio.ensure_future(served.predict("unet", picture))
        assert await asyncio.to_thread(mill.began.wait, PATIENCE_S)
        leaver.cancel()
        await served.predict("unet", small)
    assert estimate.pieces > 2
    assert [shape[-1] for shape in mill.runs][1:] == [8]
    assert mill.stopped == 1


class Snail(Milling):
    """A network that takes its time."""

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        threading.Event().wait(0.05)
        return super().__call__(images, outputs, **how)


async def test_a_deadline_that_cannot_be_met_is_refused_before_anything_runs(
    serve: Any, endless: Engine, png: Png
) -> None:
    """50 ms for 8x8 pixels make 200 s for 512x512."""
    counted = Mill(endless)
    counted.runs.append(())  # all that come are further ones, which end

    def opening(path: Path, *, threads: int) -> Snail:
        return Snail(open_engine(path, threads), counted)

    def ask(side: int, timeout: float | None) -> Any:
        image = pb.Image(encoded=png(np.zeros((side, side, 3), np.uint8)))
        asked = pb.PredictRequest(model_name="stride4", image=image)
        return served.stub.Predict(asked, timeout=timeout)

    async with serve("stride4", opening=opening) as served, asyncio.timeout(PATIENCE_S):
        await ask(8, None)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(512, PATIENCE_S - 1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "the answer is wanted in" in (caught.value.details() or "")
        assert [shape[-1] for shape in counted.runs if shape] == [8]
        await ask(8, PATIENCE_S - 1)  # there is time for that
        await ask(512, None)  # and no hurry here
