"""What runs next, and with how many threads: the oldest first, small pieces together or side by
side where that is faster.

Processors are slots: a wide run takes all of them, a narrow one takes one (`policy`). Of the
batches that are ready (`queue`) the one with the oldest piece goes first, so no shape starves or
flushes another. A run for which nobody waits any more is stopped.

The queue needs no limit of its own: the gate in front of it counts requests, and a request has only
a few pieces in here at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeAlias, TypeVar

from anyres_server.errors import Stopped, Unavailable
from anyres_server.model import Model, Stop
from anyres_server.observe import events
from anyres_server.routing.pace import Pace
from anyres_server.schedule.benefit import Benefit
from anyres_server.schedule.performing import Computed, Run
from anyres_server.schedule.policy import goes_wide
from anyres_server.schedule.queue import Batch, BatchPolicy, Entry, Piece, Queue, Ran
from anyres_server.schedule.slots import Lease, Slots

T = TypeVar("T")
Engine: TypeAlias = Callable[[Run], Awaitable[Computed]]


class Batcher:
    """Await `infer` from any number of tasks; keep exactly one `run` going.

    Args:
        engine: runs a network off the event loop.
        policy: where a model has none of its own.
        pace: predicts runs, and is told of them.
        tell: hears of every run.
        processors: slots that a wide run takes all of.
    """

    def __init__(
        self,
        engine: Engine,
        policy: BatchPolicy,
        pace: Pace,
        tell: events.Tell,
        *,
        processors: int = 1,
    ) -> None:
        self._engine = engine
        self._pace = pace
        self._tell = tell
        self._slots = Slots(processors)
        self._benefit = Benefit()
        self._queue = Queue(policy, self._benefit)
        self._changed = asyncio.Event()

    async def infer(
        self, model: Model, piece: Piece[T], outputs: tuple[str, ...], reserved_bytes: int = 0
    ) -> Ran[T]:
        """Run a piece through a model's network, with others where that pays.

        Args:
            model: whose network.
            piece: what goes in, and what is made of what comes out.
            outputs: the names of those that are wanted.
            reserved_bytes: lent to it while it runs.

        Raises:
            Exception: whatever cutting it, the network, or making something of it raised.
        """
        now = asyncio.get_running_loop().time()
        size = model.card.input.size(piece.shape)
        entry = Entry(model, piece, outputs, size, reserved_bytes, came_at=now)
        self._queue.add(entry)
        self._changed.set()
        return await entry.reply

    def backlog_s(self) -> float:
        """Until all that waits and is under way should be done, as far as that can be told."""
        now = asyncio.get_running_loop().time()
        queued = sum(self._seconds([entry], wide=True) or 0.0 for entry in self._queue.waiting())
        return queued + self._slots.drained_s(now)

    async def run(self) -> None:
        """Serve the queue until cancelled; then answer those who still wait."""
        try:
            async with asyncio.TaskGroup() as runs:
                while True:
                    now = asyncio.get_running_loop().time()
                    while (chosen := self._chosen(now)) is not None:
                        runs.create_task(self._started(*chosen, now))
                    self._changed.clear()
                    await self._change_or(self._due(now))
        finally:
            _fail(self._queue.waiting(), Unavailable("the server is shutting down"))

    def _chosen(self, now: float) -> tuple[Batch, bool] | None:
        """The batch to start, and whether it goes wide; None where it had better wait."""
        ready = self._queue.ready(now) if self._slots.soon_free(1, now) else []
        if not ready:
            return None
        wide_s = self._seconds(ready[0], wide=True, contended=True)
        narrow_s = self._seconds(ready[0], wide=False)
        wide = goes_wide(len(ready), self._slots.free_in_turn(now), wide_s, narrow_s)
        if wide and not self._slots.soon_free(self._slots.processors, now):
            return None  # until those are nearly done that run narrow
        return ready[0], wide

    def _due(self, now: float) -> float | None:
        """When the next batch may start though nothing changes; None where none may."""
        if self._slots.free < 0:
            return None
        moments = self._queue.next_due(), self._slots.next_look(now)
        return min((due for due in moments if due is not None and due > now), default=None)

    async def _change_or(self, due: float | None) -> None:
        try:
            async with asyncio.timeout_at(due):
                await self._changed.wait()
        except TimeoutError:
            return  # the oldest batch is due, full or not

    def _started(self, batch: Batch, wide: bool, now: float) -> Coroutine[None, None, None]:
        """What answers a batch, which has its slots already and waits no more."""
        self._queue.take(batch)
        contended = bool(self._queue.waiting())
        predicted_s = self._seconds(batch, wide=wide, contended=contended)
        lease = self._slots.take(wide=wide, now=now, predicted_s=predicted_s, contended=contended)
        return self._answer(batch, lease)

    async def _answer(self, batch: Batch, lease: Lease) -> None:
        stop = _stop_for(batch)
        run = Run(batch[0].model, batch, batch[0].outputs, lease.slots, lease.wide, stop)
        try:
            self._learn(await self._engine(run), lease)
        except asyncio.CancelledError:
            run.stop.say()
            _fail(batch, Unavailable("the server is shutting down"))
            raise
        except Stopped:
            return  # nobody waits
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, whatever it is
            _fail(batch, error)
        finally:
            self._slots.give_back(lease, asyncio.get_running_loop().time())
            self._changed.set()

    def _learn(self, done: Computed, lease: Lease) -> None:
        model, size, images = done.batch[0].model, done.batch[0].size, done.images
        now = asyncio.get_running_loop().time()
        if lease.wide or self._slots.abreast(lease, now):
            self._pace.note(
                model, size, images, done.seconds, lease.wide, contended=lease.contended
            )
            beside = self._slots.processors // lease.slots
            self._benefit.note(model, size, images, done.seconds, beside)
        reserved = sum(entry.reserved_bytes for entry in done.batch)
        self._tell(
            events.Ran(model, size, images, lease.slots, reserved, lease.predicted_s, done.seconds)
        )

    def _seconds(self, batch: Batch, *, wide: bool, contended: bool = False) -> float | None:
        images = sum(entry.rows for entry in batch)
        return self._pace.seconds(
            batch[0].model, batch[0].size, images, wide=wide, contended=contended
        )


def _stop_for(batch: Batch) -> Stop:
    """Said once nobody of the batch waits any more."""
    stop = Stop()

    def look(_: object) -> None:
        if all(entry.reply.cancelled() for entry in batch):
            stop.say()

    for entry in batch:
        entry.reply.add_done_callback(look)
    return stop


def _fail(batch: Batch, error: Exception) -> None:
    for entry in batch:
        if not entry.reply.done():
            entry.reply.set_exception(error)
