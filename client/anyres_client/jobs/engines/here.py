"""Images answered in this process: reading, uploading, computing and writing overlap.

left -> queue -> (bytes in flight) -> read -> predict, patiently -> render -> settle
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from anyres_client.async_client import AsyncClient
from anyres_client.jobs.answering import Question
from anyres_client.jobs.engines import Left, Settle
from anyres_client.jobs.flight import Flight
from anyres_client.jobs.items import Found, Item
from anyres_client.jobs.patience import Patience

Todo = asyncio.Queue[Found | None]


@dataclass(frozen=True)
class Here:
    """A bounded number of images and bytes under way, on one event loop."""

    client: AsyncClient

    async def answer(self, question: Question, left: Left, settle: Settle) -> None:
        """See `Engine.answer`; an image's bytes are under way until its answer is settled."""
        job = question.job
        flight = Flight(job.bytes_in_flight)
        patience = Patience(job.attempts, job.patience_s)

        async def settled(each: Found) -> None:
            async with flight.carrying(each.size if isinstance(each, Item) else 0):
                await settle(await question.ask(each, self.client, patience))

        async def consume() -> None:
            while (each := await todo.get()) is not None:
                await settled(each)

        todo: Todo = asyncio.Queue(2 * job.in_flight)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_produce(left, todo, job.in_flight))
                for _ in range(job.in_flight):
                    group.create_task(consume())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors


async def _produce(left: Left, todo: Todo, consumers: int) -> None:
    """Walks the source off the event loop, and never further than the queue has room."""
    while batch := await asyncio.to_thread(left, consumers):
        for each in batch:
            await todo.put(each)
    for _ in range(consumers):
        await todo.put(None)
