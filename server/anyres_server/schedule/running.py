"""The scheduler at work: a batcher, in front of a pool of threads that run networks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from anyres_server import machine
from anyres_server.allocator import Freed
from anyres_server.observe.events import Tell
from anyres_server.routing.pace import Pace
from anyres_server.schedule.batching import Batcher
from anyres_server.schedule.performing import Computed, Run, performed
from anyres_server.schedule.queue import BatchPolicy
from anyres_server.schedule.turns import Turns
from anyres_server.settings.settings import Settings


@asynccontextmanager
async def scheduling(
    settings: Settings, networks: Executor, pace: Pace, tell: Tell
) -> AsyncIterator[Batcher]:
    """A batcher that serves its queue until the block ends; then those who wait are answered.

    `networks` has a thread for every processor, one for the run that waits for its turn, and some
    for runs that are over and of whose outputs something is made.
    """
    processors = settings.compute.threads
    freed, turns = Freed(settings.memory.keep_freed, machine.resident_bytes), Turns(processors)

    async def engine(run: Run) -> Computed:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[Computed] = loop.create_future()

        def told(settle: Callable[[Any], None], what: object) -> None:
            loop.call_soon_threadsafe(lambda: None if over.done() else settle(what))

        def perform() -> None:
            try:
                performed(run, turns.taken(run.slots), partial(told, over.set_result))
            except Exception as error:  # noqa: BLE001 - whoever waits for the run gets it
                told(over.set_exception, error)
            freed.look()

        networks.submit(perform)
        return await over

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
