"""A batch's whole way, off the event loop: cut, wait for its turn, compute, make, answer.

All of it in one thread: from thread to thread takes as long as a small network.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic

import numpy as np

from anyres_server.errors import Stopped
from anyres_server.model import Array, Model, Stop
from anyres_server.schedule.queue import Batch, Entry, Ran


@dataclass(frozen=True, eq=False)
class Run:
    """What the engine is to do, off the event loop, for everyone of a batch."""

    model: Model
    batch: Batch
    outputs: tuple[str, ...]
    slots: int
    wide: bool
    stop: Stop


@dataclass(frozen=True, eq=False)
class Computed:
    """What the network gave, for whom, and how long it took once it began."""

    batch: Batch
    outputs: tuple[Array, ...]
    seconds: float

    @property
    def images(self) -> int:
        """Of all of them."""
        return sum(entry.rows for entry in self.batch)


def performed(
    run: Run, turn: AbstractContextManager[None], over: Callable[[Computed], None]
) -> None:
    """Take a batch its whole way.

    Args:
        run: whose pieces are cut while others compute, and answered.
        turn: a block in which the processors are the network's.
        over: hears that the network is done; what is made of its outputs comes after.

    Raises:
        Stopped: nobody waits any more.
    """
    there = _cut(run)
    with turn:
        done = _computed(run, there)
    over(done)
    answer(done)


def _cut(run: Run) -> list[tuple[Entry, Array]]:
    """Who still waits, and their images; who cannot have them is told why."""
    there = []
    for entry in run.batch:
        if entry.reply.done():
            continue
        try:
            there.append((entry, entry.piece.cut()))
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, whatever it is
            entry.answer(error)
    if not there:
        raise Stopped(f"nobody waits for {run.model.name}")
    return there


def _computed(run: Run, there: list[tuple[Entry, Array]]) -> Computed:
    images = [own for _, own in there]
    began = monotonic()
    together = images[0] if len(images) == 1 else np.concatenate(images)
    outputs = run.model.network(together, run.outputs, wide=run.wide, stop=run.stop)
    return Computed([entry for entry, _ in there], outputs, monotonic() - began)


def answer(done: Computed) -> None:
    """Answer everyone with what is made of their part."""
    start = 0
    for entry in done.batch:
        stop = start + entry.rows
        own = tuple(output[start:stop] for output in done.outputs)
        start = stop
        if entry.reply.done():
            continue
        try:
            entry.answer(Ran(entry.piece.make(own), done.seconds, done.images))
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, whatever it is
            entry.answer(error)
