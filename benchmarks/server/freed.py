"""What becomes of freed memory: speed, and what stays resident.

    python -m benchmarks.server.freed [--rounds 5] [MODEL.onnx ...]

Each way has a process of its own; they take turns. Speed is held against ONNX Runtime's arena in
the same round, so that noise meets both; the median of the rounds counts. What to look at: "kept"
is as fast as the arena, and has no more resident than its limit, after 2048x2048 too.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from anyres_server.allocator import Freed, keep_freed
from anyres_server.engine.bare import BareNetwork, Way, open_bare
from anyres_server.machine import processors, resident_bytes

SPAWN = multiprocessing.get_context("spawn")
MIB = 2**20
MODEL = Path("out/models/mobilenet_v2_fcn.onnx")
MIXED = (256, 1024, 384, 512, 320, 768, 448, 640)


@dataclass(frozen=True)
class Kept:
    """A way to deal with freed memory; `limit` 0 leaves it to the C library."""

    arena: bool
    limit: int = 0


@dataclass(frozen=True)
class Job:
    """Images of these sides, one after the other with all threads, or side by side."""

    sides: tuple[int, ...]
    wide: bool


WAYS = {
    "arena": Kept(arena=True),
    "nothing kept": Kept(arena=False),
    "kept, 256 MiB": Kept(arena=False, limit=256 * MIB),
    "kept, 1 GiB": Kept(arena=False, limit=1024 * MIB),
    "kept, 4 GiB": Kept(arena=False, limit=4096 * MIB),
}
JOBS = {
    "512x512, wide": Job((512,) * 4, wide=True),
    "512x512, side by side": Job((512,) * 6, wide=False),
    "256 to 1024, side by side": Job(MIXED, wide=False),
    "2048x2048, wide": Job((2048,), wide=True),
}


def worker(path: Path, way: Kept, orders: Connection) -> None:
    """Do jobs until None comes; each one's seconds, and the bytes that are resident since."""
    keep_freed(way.limit)
    freed = Freed(way.limit, resident_bytes)
    look = freed.look if way.limit else _nothing
    many = processors()
    wide = open_bare(path, Way(1, many, way.arena))
    narrow = open_bare(path, Way(many, 1, way.arena))
    before = resident_bytes()
    with ThreadPoolExecutor(many) as threads:
        orders.send("ready")
        while job := orders.recv():
            network = wide if job.wide else narrow
            began = perf_counter()
            run = partial(_one, network, look)
            if job.wide:
                for side in job.sides:
                    threads.submit(run, side).result()
            else:
                list(threads.map(run, job.sides))
            orders.send((perf_counter() - began, resident_bytes() - before))


def _one(network: BareNetwork, look: Callable[[], None], side: int) -> None:
    network(np.zeros((1, 3, side, side), np.float32), ())  # all outputs
    look()


def _nothing() -> None:
    """Nobody looks."""


def compared(path: Path, rounds: int) -> Table:
    """All ways in turns."""
    workers: dict[str, Connection] = {}
    for name, way in WAYS.items():
        workers[name], other = SPAWN.Pipe()
        SPAWN.Process(target=worker, args=(path, way, other), daemon=True).start()
        workers[name].recv()
    table = Table("", *WAYS, title=f"{path.stem}: speed of the arena's, and MiB resident after")
    for what, job in JOBS.items():
        seen: dict[str, list[tuple[float, int]]] = {name: [] for name in WAYS}
        for _ in range(rounds + 1):
            for name, orders in workers.items():
                orders.send(job)
                seen[name].append(orders.recv())
        table.add_row(what, *(_words(seen[name][1:], seen["arena"][1:]) for name in WAYS))
    for orders in workers.values():
        orders.send(None)
    return table


def _words(seen: list[tuple[float, int]], arena: list[tuple[float, int]]) -> str:
    speed = median(by_arena[0] / own[0] for own, by_arena in zip(seen, arena, strict=True))
    return f"{speed:.2f}  {seen[-1][1] / MIB:.0f}"


def main(models: Annotated[list[Path] | None, typer.Argument()] = None, rounds: int = 5) -> None:
    """Print a table for each model."""
    for path in models or [MODEL]:
        Console(width=120).print(compared(path, rounds))


if __name__ == "__main__":
    typer.run(main)
