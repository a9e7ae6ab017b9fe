"""Runs a model before anybody else does, at the sizes that its card was proven at.

What breaks here would have broken for the first caller; and how long each size takes is known
before the first request comes. Sizes that would take more memory than there is are left out, and
so are those that are left when the time is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import TypeAlias

import numpy as np

from anyres_proto.card import AxisContract, Card
from anyres_server.errors import InvalidRequest, ServingError, Stopped, TooLarge
from anyres_server.model import Model, Size, Stop
from anyres_server.repository.entries import Broken, Entry

log = logging.getLogger(__name__)

Lent: TypeAlias = Callable[[int], AbstractAsyncContextManager[None]]
Note: TypeAlias = Callable[[Model, Size, int, float, bool], None]  # as `Pace.note`

SIZES = 3  # of those that were proven: the smallest, the largest and one between
USUAL = 256  # pixels a side, where nothing was proven


@dataclass(frozen=True)
class WarmUp:
    """Warms models up, each for `limit_s` seconds at most; 0 leaves it out.

    Attributes:
        pool: where networks run.
        lent: holds bytes of the memory for activations; waits until they are free.
        note: is told how long each run took.
        limit_s: of one model.
    """

    pool: Executor
    lent: Lent
    note: Note
    limit_s: float

    async def __call__(self, model: Model) -> Entry:
        """The model, or why it cannot be served."""
        if not self.limit_s:
            return model
        stop = Stop()
        loop = asyncio.get_running_loop()
        over = loop.call_later(self.limit_s, stop.say)
        try:
            for size in model.settings.warm_up or warm_up_sizes(model.card):
                if why := await self._at(model, size, stop):
                    return Broken(model.name, model.version, why)
        except Stopped:
            log.info("model %s has had its %g s to warm up", model.name, self.limit_s)
        finally:
            over.cancel()
            stop.say()  # where it is the server that stops
        return model

    async def _at(self, model: Model, size: Size, stop: Stop) -> str:
        """Run at one size; why that cannot be, "" where it can."""
        words = f"{size[1]}x{size[0]}"
        try:
            async with self.lent(model.cost(size).activation_bytes):
                loop = asyncio.get_running_loop()
                seconds = await loop.run_in_executor(self.pool, _runs, model, size, stop)
        except (InvalidRequest, TooLarge) as error:
            log.info("model %s is not warmed up at %s: %s", model.name, words, error)
            return ""
        except ServingError as error:
            return f"it breaks when it runs at {words} (width x height): {error}"
        self.note(model, size, 1, seconds, True)
        return ""


def warm_up_sizes(card: Card) -> tuple[Size, ...]:
    """A few of those that were proven, from small to large; else one that the contract admits."""
    proven = sorted({(p.height, p.width) for p in card.proofs}, key=lambda size: (prod(size), size))
    if not proven:
        return ((_usual(card.sizes.height), _usual(card.sizes.width)),)
    last = len(proven) - 1
    return tuple(proven[index] for index in sorted({0, last // 2, last}))


def _usual(axis: AxisContract) -> int:
    """The largest admissible size up to the usual one, or the smallest there is."""
    wanted = max(axis.minimum, min(USUAL, axis.maximum or USUAL))
    return wanted - (wanted - axis.minimum) % axis.step


def _runs(model: Model, size: Size, stop: Stop) -> float:
    """Seconds of a wide run, once what only first runs take is over.

    A narrow one is made and not timed: what counts is how long it takes beside others.
    """
    for wide in (False, True):
        _run(model, size, stop, wide=wide)
    return _run(model, size, stop, wide=True)


def _run(model: Model, size: Size, stop: Stop, *, wide: bool) -> float:
    """One image of zeros."""
    if stop.said:
        raise Stopped
    taken = model.card.input
    images = np.zeros(taken.shape(1, *size), taken.dtype)
    names = tuple(output.name for output in model.card.outputs)
    began = perf_counter()
    model.network(images, names, wide=wide, stop=stop)
    return perf_counter() - began
