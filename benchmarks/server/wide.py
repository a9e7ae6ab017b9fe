"""One run of all threads, or one thread each: what the scheduler chooses, against either alone.

    python -m benchmarks.server.wide [--rounds 5] [--images 40] [MODEL.onnx ...]

The same images of mixed sizes go through the same queue, in turns: chosen by what runs take,
always wide, always narrow; for one caller, two and four. What to look at: "chosen" is as fast as
the faster of the other two, whichever that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from anyres_analyzer import analyze
from anyres_server.engine.session import open_engine
from anyres_server.machine import processors
from anyres_server.model import Model
from anyres_server.repository.cards import card_for
from anyres_server.routing.pace import Pace
from anyres_server.schedule.batching import Batcher
from anyres_server.schedule.performing import Computed, Run, performed
from anyres_server.schedule.queue import BatchPolicy, Piece
from anyres_server.schedule.turns import Turns

MODEL = Path("out/models/mobilenet_v2_fcn.onnx")
SIDES = (256, 768, 320, 512, 256, 640, 384, 448)
CALLERS = (1, 2, 4)


class Told(Pace):
    """Always predicts the same, so that the choice is always the same."""

    def __init__(self, *, wide_s: float, narrow_s: float) -> None:
        super().__init__()
        self._told = {True: wide_s, False: narrow_s}

    def seconds(self, *_: Any, wide: bool = True, **__: Any) -> float | None:
        """What it was told."""
        return self._told[wide]


def batchers(threads: ThreadPoolExecutor) -> dict[str, Batcher]:
    """One that chooses, and two that do not."""
    paces = {
        "chosen": Pace(),
        "always wide": Told(wide_s=1e-9, narrow_s=1e9),
        "always narrow": Told(wide_s=1e9, narrow_s=1e-9),
    }

    turns = Turns(processors())

    def perform(run: Run) -> Computed:
        seen: list[Computed] = []
        performed(run, turns.taken(run.slots), seen.append)
        return seen[0]

    async def engine(run: Run) -> Computed:
        return await asyncio.get_running_loop().run_in_executor(threads, perform, run)

    return {
        name: Batcher(engine, BatchPolicy(), pace, _nobody, processors=processors())
        for name, pace in paces.items()
    }


def _nobody(event: object) -> None:
    """Hears of every run."""


def opened(path: Path) -> Model:
    """A model as the server has it."""
    analysis = analyze(path)
    network = open_engine(path, processors())
    card = card_for(path.stem, network.metadata, analysis)
    return Model(path.stem, "1", card, analysis.cost, network)


async def asked(batcher: Batcher, model: Model, callers: int, images: int) -> float:
    """Images a second."""
    sides: Iterator[int] = (SIDES[index % len(SIDES)] for index in range(images))
    names = tuple(output.name for output in model.card.outputs)
    spec = model.card.input

    async def caller() -> None:
        for side in sides:
            images = np.zeros(spec.shape(1, side, side), spec.dtype)
            piece = Piece(images.shape, partial(np.copy, images), lambda outputs: None)
            await batcher.infer(model, piece, names)

    began = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
    return images / (perf_counter() - began)


async def compared(path: Path, rounds: int, images: int) -> Table:
    """All three in turns."""
    model = opened(path)
    table = Table("callers", title=f"{path.stem}: images a second")
    with ThreadPoolExecutor(processors() + 1) as threads:
        found = batchers(threads)
        running = [asyncio.create_task(batcher.run()) for batcher in found.values()]
        for name in found:
            table.add_column(name)
        for callers in CALLERS:
            seen: dict[str, list[float]] = {name: [] for name in found}
            for _ in range(rounds + 1):
                for name, batcher in found.items():
                    seen[name].append(await asked(batcher, model, callers, images))
            table.add_row(str(callers), *(f"{median(each[1:]):.1f}" for each in seen.values()))
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    return table


def main(
    models: Annotated[list[Path] | None, typer.Argument()] = None,
    rounds: int = 5,
    images: int = 40,
) -> None:
    """Print a table for each model."""
    for path in models or [MODEL]:
        Console().print(asyncio.run(compared(path, rounds, images)))


if __name__ == "__main__":
    typer.run(main)
