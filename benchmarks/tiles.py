"""A picture that does not fit, in exact tiles: a server's peak, and its time against whole images.

    python -m benchmarks.tiles [--size 10800x5400] [--budget 1GiB] [MODEL.onnx ...]

Without models, U-Nets of two widths are exported first, with random weights.
The server is a process of its own with that budget; whole images of a size that fits go through it
before and after the large one, and the time per pixel is compared with the median of theirs. The
answers of tiles are held against whole images of a size that can go both ways: how many cells
differ, and how many logits do in the last bit.
"""

from __future__ import annotations

import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from benchmarks.server.process import forget_peak, peak, resident
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from anyres_client.answers import Size, size_of, size_text
from anyres_client.client import Client
from anyres_client.prediction import Prediction

MIB = 2**20
ROUNDS = 5
WIDTHS = (16, 32)
COLUMNS = ("model", "size", "tiles", "seconds", "MP/s", "time/pixel", "rest MiB", "peak MiB")


@contextmanager
def server(model: Path, **told: str) -> Iterator[tuple[int, Client]]:
    """A server's process and a client; `told` are settings by their names in the environment."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(model, Path(folder) / "network.onnx")
        settings = {f"ANYRES_{name.upper()}": value for name, value in told.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "anyres_client.main", "serve", folder, "--port", "0"],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            port = process.stdout.readline().rpartition(":")[2].strip()
            with Client(f"127.0.0.1:{port}", timeout=7200) as client:
                client.wait_ready()
                yield process.pid, client
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def picture(size: Size, seed: int = 0) -> bytes:
    """A wash of colours with noise in it, as a JPEG file."""
    height, width = size
    random = np.random.default_rng(seed)
    noise = random.integers(0, 64, (64, 64, 3), np.uint8)
    reps = (-(-height // 64), -(-width // 64), 1)
    pixels = np.tile(noise, reps)[:height, :width]
    pixels += (np.arange(width, dtype=np.uint32) // 83 % 128).astype(np.uint8)[None, :, None]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


def timed(client: Client, image: bytes) -> tuple[Prediction, float]:
    """A prediction and its seconds."""
    began = perf_counter()
    prediction = client.predict(image, model="network")
    return prediction, perf_counter() - began


def row(model: Path, size: Size, whole: Size, budget: str) -> list[str]:
    """One model: seconds, the ratio of the times per pixel, and memory."""
    small, large = picture(whole), picture(size)
    with server(model, memory_budget=budget) as (pid, client):
        timed(client, small)
        before = [timed(client, small)[1] for _ in range(ROUNDS)]
        rest = resident(pid)
        forget_peak(pid)
        prediction, seconds = timed(client, large)
        most = peak(pid)
        each = statistics.median(before + [timed(client, small)[1] for _ in range(ROUNDS)])
    assert prediction.route == "tiled", "it fits: take a larger picture or a smaller budget"
    ratio = seconds / (size[0] * size[1]) / (each / (whole[0] * whole[1]))
    rate = size[0] * size[1] / seconds / 1e6
    cells = (f"{seconds:.1f}", f"{rate:.2f}", f"{ratio:.2f} x", rest // MIB, most // MIB)
    return [model.stem, size_text(size), str(prediction.pieces), *map(str, cells)]


def equal(model: Path, size: Size) -> list[str]:
    """Logits in tiles against those of the whole image."""
    image = picture(size, seed=1)
    found: list[NDArray[np.float32]] = []
    pieces = 0
    for tile in ("8GiB", "256MiB"):
        with server(model, memory_whole_image=tile, memory_tile=tile) as (_, client):
            prediction = client.predict(image, model="network", output="logits")
            found.append(prediction.logits)
            pieces = prediction.pieces
    whole, tiled = found
    apart = np.abs(whole - tiled).max() / np.abs(whole).max()
    alike = (whole == tiled).mean()
    same = (whole.argmax(0) == tiled.argmax(0)).mean()
    return [model.stem, size_text(size), str(pieces), f"{apart:.1e}", f"{alike:.2%}", f"{same:.4%}"]


def unets(folder: Path) -> Iterator[Path]:
    """Files of the U-Nets that are measured where none is given."""
    for width in WIDTHS:
        words = ["export", "zoo:unet", "--out", str(folder), "--arg", f"width={width}"]
        words += ["--arg", "in_channels=3", "--arg", "classes=6"]
        subprocess.run([sys.executable, "-m", "anyres_client.main", *words], check=True)
        yield (folder / "unet.onnx").rename(folder / f"unet_{width}.onnx")


def main(
    models: Annotated[list[Path] | None, typer.Argument(metavar="[MODEL.onnx ...]")] = None,
    size: Annotated[str, typer.Option(help="Of the picture that does not fit.")] = "10800x5400",
    whole: Annotated[str, typer.Option(help="Of those that do.")] = "1536x1536",
    budget: Annotated[str, typer.Option(help="The server's memory.budget.")] = "1GiB",
) -> None:
    """Print both tables."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        given = models or list(unets(Path(folder)))
        table = Table(*COLUMNS, box=None, pad_edge=False)
        for model in given:
            table.add_row(*row(model, size_of(size), size_of(whole), budget))
        console.print(table)
        exact = Table("model", "size", "tiles", "worst", "bit for bit", "same class", box=None)
        for model in given:
            exact.add_row(*equal(model, (2400, 3200)))
        console.print(exact)


if __name__ == "__main__":
    typer.run(main)
