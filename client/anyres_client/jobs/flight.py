"""How many bytes may be under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Flight:
    """Lets images in while there is room; one that is larger than all of it goes alone."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._carried = 0
        self._landed = asyncio.Condition()

    @asynccontextmanager
    async def carrying(self, size: int) -> AsyncIterator[None]:
        """Be under way with so many bytes; waits until there is room."""
        async with self._landed:
            await self._landed.wait_for(
                lambda: not self._carried or self._carried + size <= self._capacity
            )
            self._carried += size
        try:
            yield
        finally:
            async with self._landed:
                self._carried -= size
                self._landed.notify_all()
