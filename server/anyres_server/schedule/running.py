"""The scheduler at work: a batcher, in front of a pool of threads that run networks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress

from anyres_server import machine
from anyres_server.allocator import Freed
from anyres_server.observe.events import Tell
from anyres_server.routing.pace import Pace
from anyres_server.schedule.batching import Batcher, Computed, Run, computed
from anyres_server.schedule.queue import BatchPolicy
from anyres_server.schedule.turns import Turns
from anyres_server.settings.settings import Settings


@asynccontextmanager
async def scheduling(
    settings: Settings, networks: Executor, pace: Pace, tell: Tell
) -> AsyncIterator[Batcher]:
    """A batcher that serves its queue until the block ends; then those who wait are answered.

    `networks` has a thread for every processor, and one for the run that waits for its turn.
    """
    processors = settings.compute.threads
    freed, turns = Freed(settings.memory.keep_freed, machine.resident_bytes), Turns(processors)

    def compute(run: Run) -> Computed:
        try:
            with turns.taken(run.slots):
                return computed(run)
        finally:
            freed.look()

    async def engine(run: Run) -> Computed:
        return await asyncio.get_running_loop().run_in_executor(networks, compute, run)

    policy = BatchPolicy(
        settings.batching.max_size, settings.batching.max_pixels, settings.batching.max_delay_s
    )
    batcher = Batcher(engine, policy, pace, tell, processors=processors)
    async with freed.watched():
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
