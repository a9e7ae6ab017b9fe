"""How long a tensor takes to a server and back: in messages, and in shared memory.

    python -m benchmarks.server.shared_memory [--sides 256,512,1024,2048] [--times 30]

The network is a single Identity of 3 channels, so that all there is to see is the way. Raw and
shared take turns in one run, with the stock client in this process and the server in its own; the
figures are medians in ms. What to look at: the ratio is above 1, and grows with the size.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.table import Table
from tritonclient import grpc  # type: ignore[import-untyped]
from tritonclient.utils import shared_memory  # type: ignore[import-untyped]

IDENTITY = """<ir_version: 8, opset_import: ["" : 17]>
identity (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Identity (x) }"""


@contextmanager
def server() -> Iterator[str]:
    """A server of the identity in a process of its own; its address."""
    with TemporaryDirectory() as folder:
        onnx.save(onnx.parser.parse_model(IDENTITY), Path(folder) / "identity.onnx")
        command = [str(Path(sys.executable).with_name("anyres")), "serve", folder, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
            process.terminate()


@contextmanager
def region(client: Any, name: str, size: int) -> Iterator[Any]:
    """Shared memory of this process's own that the server knows."""
    key = f"/anyres-benchmark-{uuid4().hex}"
    made = shared_memory.create_shared_memory_region(name, key, size, create_only=True)
    client.register_system_shared_memory(name, key, size)
    yield made
    client.unregister_system_shared_memory(name)
    shared_memory.destroy_shared_memory_region(made)


def raw(client: Any, images: Any) -> Callable[[], None]:
    """A request whose tensors travel in messages."""

    def ask() -> None:
        tensor = grpc.InferInput("x", images.shape, "FP32")
        tensor.set_data_from_numpy(images)
        assert client.infer("identity", [tensor]).as_numpy("y").shape == images.shape

    return ask


def shared(client: Any, images: Any, into: Any, out_of: Any) -> Callable[[], None]:
    """A request whose tensors are put into, and taken out of, shared memory."""

    def ask() -> None:
        shared_memory.set_shared_memory_region(into, [images])
        tensor, output = grpc.InferInput("x", images.shape, "FP32"), grpc.InferRequestedOutput("y")
        tensor.set_shared_memory("in", images.nbytes)
        output.set_shared_memory("out", images.nbytes)
        client.infer("identity", [tensor], outputs=[output])
        found = shared_memory.get_contents_as_numpy(out_of, np.float32, images.shape)
        assert found.copy().shape == images.shape

    return ask


def seconds(work: Callable[[], None]) -> float:
    """How long a piece of work takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def main(
    sides: Annotated[str, typer.Option(help="Of square images.")] = "256,512,1024,2048",
    times: Annotated[int, typer.Option(help="Requests of each kind and size.")] = 30,
) -> None:
    """Print both, and how many times longer raw takes."""
    table = Table("side", "MB each way", "raw ms", "shared ms", "raw / shared")
    with server() as address, grpc.InferenceServerClient(address) as client:
        for side in map(int, sides.split(",")):
            images = np.random.default_rng(1).random((1, 3, side, side), np.float32)
            with (
                region(client, "in", images.nbytes) as a,
                region(client, "out", images.nbytes) as b,
            ):
                ways = raw(client, images), shared(client, images, a, b)
                pairs = [[seconds(way) for way in ways] for _ in range(times)]
            one, other = (median(column) * 1e3 for column in zip(*pairs, strict=True))
            size = f"{images.nbytes / 1e6:.1f}"
            table.add_row(str(side), size, f"{one:.1f}", f"{other:.1f}", f"{one / other:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
