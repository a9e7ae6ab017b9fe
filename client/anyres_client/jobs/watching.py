"""A folder that is looked after: what comes into it or changes there is predicted.

Each time something has changed the folder's job is run again, and does what is left: so whatever
was missed while nobody looked is made up for, and nothing is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from anyres_client.async_client import AsyncClient
from anyres_client.connection import Connection
from anyres_client.errors import InvalidRequest
from anyres_client.jobs.items import is_image
from anyres_client.jobs.job import Job, Summary
from anyres_client.jobs.progress import shown

SETTLED_MS = 400  # without a change, after which files are taken to be written
AT_MOST_MS = 5000  # after which it is looked whatever goes on


def watch(job: Job, connection: Connection, timeout_s: float) -> AsyncGenerator[Summary]:
    """Run a folder's job, now and whenever an image in it has come or changed; each summary.

    Raises:
        InvalidRequest: the source is no folder.
        ClientError: see `anyres_client.jobs.running.run`.
    """
    folder = Path(job.source)
    if not folder.is_dir():
        raise InvalidRequest(f"there is no folder {folder}")
    changes = _changes(folder.resolve(), job.out.resolve())
    return _again_and_again(job, connection, timeout_s, changes)


async def _again_and_again(
    job: Job, connection: Connection, timeout_s: float, changes: AsyncIterator[Any]
) -> AsyncGenerator[Summary]:
    async with AsyncClient(connection, timeout=timeout_s) as client:
        while True:
            coming = asyncio.ensure_future(anext(changes, None))
            try:
                await asyncio.sleep(0)  # watched before it is looked through: nothing is missed
                summary, _ = await shown(job, client)
                yield summary
                job = replace(job, restart=False)
                if await coming is None:
                    return
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


def _changes(folder: Path, out: Path) -> AsyncIterator[Any]:
    """Once for some changes that come together: of images, and of folders that may hold some."""
    from watchfiles import Change, awatch

    def may_be_new(change: Change, name: str) -> bool:
        path = Path(name)
        if change is Change.deleted or path.is_relative_to(out):
            return False
        return is_image(path.name) or path.is_dir()

    return awatch(folder, watch_filter=may_be_new, debounce=AT_MOST_MS, step=SETTLED_MS)
