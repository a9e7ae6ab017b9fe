"""Work that computes, in a pool of threads: the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class OffLoop:
    """Runs functions in a pool."""

    pool: Executor

    async def __call__(self, work: Callable[..., T], *args: object) -> T:
        """What `work` returns."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *args)

    async def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """That, and its seconds: those of the work, not of the wait for a thread."""

        def timed() -> tuple[T, float]:
            began = perf_counter()
            result = work()
            return result, perf_counter() - began

        return await self(timed)
