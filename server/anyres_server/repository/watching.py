"""Looks into the models' folder again when the kernel says that something changed there.

Where it says nothing (a network mount, a link's far end, no watches left), the folder is looked
into every `poll_s` seconds anyway: a look is a handful of `stat` calls a model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from watchfiles import awatch

from anyres_server.repository.repository import Repository
from anyres_server.settings.sections import RepositorySettings

log = logging.getLogger(__name__)

GATHER_MS = 50  # changes that come within this time are one


@asynccontextmanager
async def watching(
    repository: Repository, folder: Path, settings: RepositorySettings
) -> AsyncIterator[None]:
    """Keep a repository as its folder is, while the block lasts; does nothing if so set."""
    if not settings.watch:
        yield
        return
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts changes aloud
    task = asyncio.create_task(_watch(repository, folder, settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(repository: Repository, folder: Path, settings: RepositorySettings) -> None:
    changed = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_told(folder, changed, settings.poll_s))
        tasks.create_task(_renewing(repository, changed, settings))


async def _renewing(
    repository: Repository, changed: asyncio.Event, settings: RepositorySettings
) -> None:
    while True:
        try:
            settled = await repository.refresh()
        except Exception:  # what is loaded is served whatever the folder does to us
            log.exception("the models' folder could not be taken over; it is tried again")
            settled = True
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.poll_s if settled else settings.settle_s):
                await changed.wait()
        changed.clear()


async def _told(folder: Path, changed: asyncio.Event, poll_s: float) -> None:
    """Pass on what the kernel tells; a folder that went away is waited for."""
    while True:
        before = _identity(folder)
        try:
            async for _ in awatch(
                folder,
                watch_filter=None,
                debounce=GATHER_MS,
                step=GATHER_MS // 2,
                rust_timeout=max(1, int(poll_s * 1000)),
                yield_on_timeout=True,
            ):
                changed.set()
                if _identity(folder) != before:
                    break
        except OSError as error:
            log.debug("%s tells of no changes (%s); it is looked into", folder, error)
        await asyncio.sleep(poll_s)
        changed.set()


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is; None where there is none."""
    try:
        seen = folder.stat()
    except OSError:
        return None
    return (seen.st_dev, seen.st_ino)
