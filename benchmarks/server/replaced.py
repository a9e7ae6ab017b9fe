"""What callers notice while a model is replaced again and again: requests, errors, latency.

    python -m benchmarks.server.replaced --seconds 20 --every 1

Four callers ask for a small image without pause, first of a model that is left alone, then of one
that is replaced by a rename all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import grpc.aio
import numpy as np
from tests.server.constant import CLASSES, put

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.tensors import to_array, to_tensor
from anyres_server.main import running_server
from anyres_server.settings.settings import Settings

if TYPE_CHECKING:  # the stub's asynchronous twin exists for type checkers alone
    from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceAsyncStub

CALLERS = 4


async def measured(
    stub: DensePredictionServiceAsyncStub, model: Path, seconds: float, every: float | None
) -> str:
    """A row: how it went."""
    request = pb.PredictRequest(
        model_name="net", image=pb.Image(tensor=to_tensor(np.zeros((32, 32, 3), np.uint8)))
    )
    until, latencies, outcomes = perf_counter() + seconds, [], Counter[str]()
    answers: set[int] = set()

    async def ask() -> None:
        while (began := perf_counter()) < until:
            try:
                response = await stub.Predict(request)
                answers.add(int(to_array(response.outputs[0].tensor)[0, 0]))
                outcomes["answered"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
            latencies.append(perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(ask())
        written = 0
        while every and perf_counter() < until:
            written += 1
            put(model, written % CLASSES)
            await asyncio.sleep(every)
    middle, tail = (1e3 * float(np.quantile(latencies, q)) for q in (0.5, 0.99))
    failed = sum(outcomes.values()) - outcomes["answered"]
    return (
        f"{written:9d} {len(answers):14d} {outcomes['answered']:9d} {failed:7d} "
        f"{middle:7.1f} {tail:7.1f}"
    )


async def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    parser.add_argument("--every", type=float, default=1, help="seconds between replacements")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "net.onnx"
        put(model, 0)
        settings = Settings.model_validate({"models": folder, "port": 0})
        async with (
            running_server(settings) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            stub = DensePredictionServiceStub(channel)
            print("replaced  answering files  answered  failed  p50 ms  p99 ms")
            for every in (None, asked.every):
                print(await measured(stub, model, asked.seconds, every))


if __name__ == "__main__":
    asyncio.run(main())
