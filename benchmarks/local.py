"""`--local` beside a bare loop over ONNX Runtime, with the same decode, in turns in one process.

    python -m benchmarks.local [--rounds 7] [--images 12] [--side 256 --side 512 ...] [MODEL.onnx]

Both read the same JPEG files one after the other, scale them, run the network with all threads and
take the class of every pixel. The bare loop runs the network in the way that was the fastest of all
(arena on or off, spinning or not) before. What to look at: the ratio, at least 0.97; and, where
others use the machine, the processors' time of both, which that changes less.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from anyres_client.client import Client
from anyres_client.local import local_connection
from anyres_proto.card import Card
from anyres_server.engine.bare import open_bare, wide_ways
from anyres_server.machine import processors

SIDES = [256, 512, 768, 1024]
UNTIMED = 3


def photos(folder: Path, side: int, count: int) -> list[Path]:
    """Washes of colours with noise in them."""
    made = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        wash = np.add.outer(np.linspace(0, 128, side), np.linspace(0, 64, side))
        pixels = wash[..., None] + random.integers(0, 48, (side, side, 3))
        made.append(folder / f"{side}-{seed}.jpg")
        Image.fromarray(pixels.astype(np.uint8)).save(made[-1], quality=90)
    return made


def bare(model: Path, card: Card) -> list[Callable[[Path], object]]:
    """Loops' bodies, one for each way of running the network that may be fastest."""
    given = (card.input.mean, card.input.std)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in given)
    scale, name = np.float32(card.input.scale), card.output.name

    def body(network: Callable[..., tuple[np.ndarray, ...]]) -> Callable[[Path], object]:
        def answer(photo: Path) -> object:
            pixels = np.asarray(Image.open(photo).convert("RGB"))
            images = (pixels.transpose(2, 0, 1) * scale - mean) / std
            (logits,) = network(images[None].astype(np.float32), [name])
            return logits[0].argmax(0).astype(np.uint8)

        return answer

    return [body(open_bare(model, way)) for way in wide_ways(processors())]


def spent(work: Callable[[Path], object], given: list[Path]) -> tuple[float, float]:
    """Seconds for all photos, and of processors, after a few that are not counted: who comes after
    the other finds the caches full of what that one used.
    """
    for photo in given[:UNTIMED]:
        work(photo)
    began, computed = perf_counter(), process_time()
    for photo in given:
        work(photo)
    return perf_counter() - began, process_time() - computed


def main(
    model: Annotated[Path, typer.Argument()] = Path("out/models/climate_unet.onnx"),
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    images: Annotated[int, typer.Option(min=1)] = 12,
    side: Annotated[list[int] | None, typer.Option(min=1)] = None,
) -> None:
    """Print a row a size."""
    columns = ("size", "local ms", "bare ms", "CPU", "CPU", "bare / local", "lap by lap")
    table = Table(*columns, box=None)
    with TemporaryDirectory() as folder, Client(local_connection(model)) as client:
        loops = bare(model, client.model(model.stem))

        def local(photo: Path) -> object:
            return client.predict(photo, model=model.stem).classes

        for pixels in side or SIDES:
            given = photos(Path(folder), pixels, images)
            for work in (local, *loops):
                spent(work, given)  # threads are made and memory is taken
            best = min(loops, key=lambda loop: min(spent(loop, given) for _ in range(2)))
            laps = []
            for lap in range(rounds):
                if lap % 2:
                    theirs, ours = spent(best, given), spent(local, given)
                else:
                    ours, theirs = spent(local, given), spent(best, given)
                laps.append((ours[0], theirs[0], ours[1], theirs[1]))
            ratios = [theirs / ours for ours, theirs, *_ in laps]
            medians = (statistics.median(each) / images for each in zip(*laps, strict=True))
            times = (f"{1e3 * each:.1f}" for each in medians)
            by_lap = " ".join(f"{ratio:.2f}" for ratio in ratios)
            table.add_row(f"{pixels}x{pixels}", *times, f"{statistics.median(ratios):.3f}", by_lap)
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
