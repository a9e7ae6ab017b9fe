"""What answers a job's images. The job says which are left and keeps what comes; an engine asks.

left -> engine -> settle

here        several images under way in this process
on_ray      parcels of images go to Ray's processes, which answer them as `here` does
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from anyres_client.jobs.answering import Answered, Question
from anyres_client.jobs.items import Found

Left: TypeAlias = Callable[[int], list[Found]]  # the next images, at most so many; any thread
Settle: TypeAlias = Callable[[Answered], Awaitable[None]]  # may raise what ends the job


class Engine(Protocol):
    """Answers images, several at a time."""

    async def answer(self, question: Question, left: Left, settle: Settle) -> None:
        """Ask about every image that is left, and hand on each answer as it comes."""
