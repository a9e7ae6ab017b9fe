"""Several pieces of work for one caller, a few at a time, answered together or refused together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


async def several(
    work: Callable[[Given], Awaitable[Made]], items: Iterable[Given], at_once: int
) -> list[Made]:
    """What `work` makes of each item, in their order.

    Where one fails, the others are given up and its error is raised.
    """
    waiting = iter(enumerate(items))
    made: dict[int, Made] = {}

    async def lane() -> None:
        for index, item in waiting:
            made[index] = await work(item)

    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(at_once):
                lanes.create_task(lane())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    return [made[index] for index in sorted(made)]
