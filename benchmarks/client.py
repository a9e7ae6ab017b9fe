"""What the client itself costs a picture: 10 000 small ones, a server that answers at once.

    python -m benchmarks.client [--images 10000] [--side 16] [--photos 300]

The server runs in a process of its own, and gives everyone the same ready answer. `bare` is a loop
of stubs from as many threads, which sends a ready request and keeps the answer as it is: what the
machine and gRPC take. What to look at: `predict_many` less `bare`, below 1 ms a picture. What this
process computes is told apart from what it waits for.

Then a batch over a folder of photos, where the server takes 30 ms a photo, one at a time, without
a processor: the share of the job's whole time in which it was at work, at least 0.95.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import perf_counter, process_time, sleep
from typing import Annotated, Any

import grpc
import numpy as np
import typer
from benchmarks.local import photos as made
from numpy.typing import NDArray

from anyres_client.async_client import AsyncClient
from anyres_client.client import Client
from anyres_client.codec import predict_request
from anyres_client.jobs.job import Job
from anyres_client.jobs.running import run
from anyres_client.many import IN_FLIGHT
from anyres_client.stub import stub
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc
from anyres_proto.card import AxisContract, Card, ClassName, ImageInput, Output, SizeContract
from anyres_proto.tensors import to_tensor

PHOTO_S, PHOTO_SIDE = 0.03, 512
FREE = AxisContract(verdict="free", minimum=1, reason="nothing fixes it")


class Ready(pb_grpc.DensePredictionServiceServicer):
    """Gives everyone the same answer, each after some time in which nobody else gets one."""

    def __init__(self, side: int, seconds: float) -> None:
        self._one, self._seconds = Lock(), seconds
        size = pb.Size(height=side, width=side)
        classes = to_tensor(np.zeros((side, side), np.uint8))
        self._answer = pb.PredictResponse(
            model_name="zones",
            model_version="1",
            image_size=size,
            grid_size=size,
            outputs=[pb.Output(kind=pb.OUTPUT_KIND_CLASS_MAP, tensor=classes)],
            route=pb.ROUTE_WHOLE,
            pieces=1,
        )

    def Predict(self, request: Any, context: Any) -> pb.PredictResponse:  # noqa: N802
        """The answer."""
        if self._seconds:
            with self._one:
                sleep(self._seconds)
        return self._answer

    def ListModels(self, request: Any, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        """The one model."""
        model = pb.ModelSummary(name="zones", versions=["1"], ready=True, task="segmentation")
        return pb.ListModelsResponse(models=[model])

    def GetModel(self, request: Any, context: Any) -> pb.GetModelResponse:  # noqa: N802
        """Its card."""
        card = Card(
            name="zones",
            task="segmentation",
            input=ImageInput(),
            outputs=(Output(channels=1, dense=True),),
            classes=(ClassName(name="all"),),
            sizes=SizeContract(height=FREE, width=FREE),
        )
        return pb.GetModelResponse(name="zones", version="1", card_json=card.model_dump_json())


def serve(side: int, seconds: float) -> None:
    """Serve until standard input ends; the port goes to standard output."""
    server = grpc.server(ThreadPoolExecutor(16))
    pb_grpc.add_DensePredictionServiceServicer_to_server(Ready(side, seconds), server)  # type: ignore[abstract]
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")
    sys.stdout.flush()
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


@contextmanager
def _server(side: int, seconds: float = 0.0) -> Iterator[str]:
    how = ["--serve", str(seconds), "--side", str(side)]
    command = [sys.executable, "-m", "benchmarks.client", *how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()


def many(address: str, pixels: NDArray[np.uint8], images: int) -> None:
    """Through the library."""
    with Client(address) as client:
        for answer in client.predict_many((pixels for _ in range(images)), model="zones"):
            assert answer.prediction.classes.shape == pixels.shape[:2]


def bare(address: str, pixels: NDArray[np.uint8], images: int) -> None:
    """Through nothing but gRPC."""
    request = predict_request(pixels, "zones", "", ["classes"], 5)
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(IN_FLIGHT) as pool:
        predict = stub(channel).Predict

        def some(count: int) -> None:
            for _ in range(count):
                predict(request)

        list(pool.map(some, [images // IN_FLIGHT] * IN_FLIGHT))


WAYS: dict[str, Callable[[str, NDArray[np.uint8], int], None]] = {
    "bare": bare,
    "predict_many": many,
}


def at_work(address: str, photos: int) -> float:
    """The share of a batch's whole time in which the server was at work, at least."""

    async def batch(source: Path, out: Path) -> float:
        async with AsyncClient(address) as client:
            began = perf_counter()
            job = Job(str(source), out, "zones")
            summary = await run(job, client, lambda done: None, lambda outcome: None)
            assert summary.done == photos
            return perf_counter() - began

    with TemporaryDirectory() as folder:
        source = Path(folder, "photos")
        source.mkdir()
        made(source, PHOTO_SIDE, photos)
        return photos * PHOTO_S / asyncio.run(batch(source, Path(folder, "out")))


def main(
    images: Annotated[int, typer.Option(min=IN_FLIGHT)] = 10_000,
    side: Annotated[int, typer.Option(min=1)] = 16,
    photos: Annotated[int, typer.Option(min=1)] = 300,
    seconds: Annotated[float | None, typer.Option("--serve", hidden=True)] = None,
) -> None:
    """Print a line for each way, and one for a batch."""
    if seconds is not None:
        serve(side, seconds)
        return
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    print("way            ms a picture   of these computed here")
    with _server(side) as address:
        for way in WAYS.values():
            way(address, pixels, 10 * IN_FLIGHT)
        for name, way in WAYS.items():
            began, busy = perf_counter(), process_time()
            way(address, pixels, images)
            took, computed = perf_counter() - began, process_time() - busy
            print(f"{name:12} {took / images * 1e3:14.3f} {computed / images * 1e3:24.3f}")
    with _server(PHOTO_SIDE, PHOTO_S) as address:
        print(f"batch: the server was at work {at_work(address, photos):.3f} of the time")


if __name__ == "__main__":
    typer.run(main)
