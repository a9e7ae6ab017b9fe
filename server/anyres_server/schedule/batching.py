"""Dynamic batching: pieces of one shape that wait together go through the network together.

A piece waits until enough others of exactly its network and shape have come, or until it has waited
`max_queue_delay_s`, whichever is first; while the engine is busy, mates gather anyway. Among the
batches that are ready, the one with the oldest piece goes first, so no shape starves another. A
large piece gains nothing from company: two that exceed `max_batch_pixels` never meet, and such a
piece does not wait for any. Pieces whose callers have gone are dropped before the engine sees them.

The queue needs no limit of its own: the gate in front of it counts requests, and a request has only
a few pieces in here at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from anyres_server.errors import Unavailable
from anyres_server.model import Array, Network


@dataclass(frozen=True)
class BatchPolicy:
    """How long to wait for company, and how much of it."""

    max_batch_size: int = 8  # images
    max_batch_pixels: int = 2**20
    max_queue_delay_s: float = 0.002


@dataclass(frozen=True, eq=False)
class Ran:
    """A piece's answer, in the order asked, and how long the run that it was part of took."""

    outputs: tuple[Array, ...]
    compute_s: float
    batch_size: int  # images in that run, its own included


@dataclass(frozen=True, eq=False)
class _Entry:
    network: Network
    images: Array
    outputs: tuple[str, ...]
    pixels: int
    came_at: float
    reply: asyncio.Future[Ran] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def rows(self) -> int:
        return len(self.images)

    def can_join(self, other: _Entry) -> bool:
        """Whether both fit into one array for one network, and want the same of it."""
        alike = self.images.shape[1:] == other.images.shape[1:] and self.outputs == other.outputs
        return self.network is other.network and self.network.batches and alike


class Batcher:
    """Await `infer` from any number of tasks; keep exactly one `run` going.

    `engine` runs a network off the event loop; `workers` is how many runs may overlap.
    """

    def __init__(
        self,
        engine: Callable[[Network, Array, tuple[str, ...]], Awaitable[tuple[Array, ...]]],
        policy: BatchPolicy,
        *,
        workers: int = 1,
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._workers = workers
        self._queue: list[_Entry] = []
        self._arrival = asyncio.Event()

    async def infer(
        self, network: Network, images: Array, outputs: tuple[str, ...], *, pixels: int
    ) -> Ran:
        """Run images through a network, with others where that pays.

        Args:
            network: which.
            images: as it takes them, the batch axis first.
            outputs: the names of those that are wanted.
            pixels: of all images together.
        """
        now = asyncio.get_running_loop().time()
        entry = _Entry(network, images, outputs, pixels, came_at=now)
        self._queue.append(entry)
        self._arrival.set()
        return await entry.reply

    async def run(self) -> None:
        """Serve the queue until cancelled; then answer those who still wait."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._workers):
                    workers.create_task(self._work())
        finally:
            _fail(self._queue, Unavailable("the server is shutting down"))

    async def _work(self) -> None:
        while True:
            await self._answer(await self._next_batch())

    async def _next_batch(self) -> Sequence[_Entry]:
        loop = asyncio.get_running_loop()
        while True:
            self._queue = [entry for entry in self._queue if not entry.reply.done()]
            batches = self._batches()
            ready = (batch for batch in batches if self._is_ready(batch, loop.time()))
            if batch := next(ready, None):
                self._queue = [entry for entry in self._queue if entry not in batch]
                return batch
            self._arrival.clear()
            await self._arrival_or(min((self._due(batch) for batch in batches), default=None))

    def _batches(self) -> list[list[_Entry]]:
        """What could go together, by the age of the oldest entry."""
        batches: list[list[_Entry]] = []
        for entry in self._queue:
            for batch in batches:
                if entry.can_join(batch[0]) and self._fits([*batch, entry]):
                    batch.append(entry)
                    break
            else:
                batches.append([entry])
        return batches

    def _fits(self, batch: Sequence[_Entry]) -> bool:
        rows = sum(entry.rows for entry in batch)
        pixels = sum(entry.pixels for entry in batch)
        return rows <= self._policy.max_batch_size and pixels <= self._policy.max_batch_pixels

    def _is_ready(self, batch: Sequence[_Entry], now: float) -> bool:
        oldest = batch[0]
        could_grow = oldest.network.batches and self._fits([*batch, oldest])
        return not could_grow or now >= self._due(batch)

    def _due(self, batch: Sequence[_Entry]) -> float:
        return batch[0].came_at + self._policy.max_queue_delay_s

    async def _arrival_or(self, due: float | None) -> None:
        try:
            async with asyncio.timeout_at(due):
                await self._arrival.wait()
        except TimeoutError:
            return  # the oldest batch is due, full or not

    async def _answer(self, batch: Sequence[_Entry]) -> None:
        loop = asyncio.get_running_loop()
        images = [entry.images for entry in batch]
        started = loop.time()
        try:
            together = images[0] if len(images) == 1 else np.concatenate(images)
            outputs = await self._engine(batch[0].network, together, batch[0].outputs)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the server is shutting down"))
            raise
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, whatever it is
            _fail(batch, error)
            return
        compute_s = loop.time() - started
        rows = sum(entry.rows for entry in batch)
        start = 0
        for entry in batch:
            stop = start + entry.rows
            if not entry.reply.done():
                own = tuple(output[start:stop] for output in outputs)
                entry.reply.set_result(Ran(own, compute_s, rows))
            start = stop


def _fail(batch: Sequence[_Entry], error: Exception) -> None:
    for entry in batch:
        if not entry.reply.done():
            entry.reply.set_exception(error)
