"""Puts a repository together: what looks, what loads, what warms up, each off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyres_server.errors import TooLarge
from anyres_server.model import Model
from anyres_server.repository.entries import Broken, Entry
from anyres_server.repository.files import Found, contents
from anyres_server.repository.keeping import Keeper
from anyres_server.repository.loading import Load, loading_bytes
from anyres_server.repository.repository import Repository
from anyres_server.repository.warm_up import Lent, Note, WarmUp
from anyres_server.repository.writing import Quiet, kept_from_writers
from anyres_server.settings.per_model import ModelSettings, read_model_settings
from anyres_server.settings.sections import RepositorySettings

T = TypeVar("T")


@dataclass(frozen=True)
class Workshop:
    """Where models are made: one at a time, in memory that is lent for it.

    Attributes:
        pool: of one thread.
        load: a version's files become a model.
        warm_up: runs it before anybody else does.
        lent: holds bytes of the memory that requests share; waits until they are free.
    """

    pool: Executor
    load: Load
    warm_up: WarmUp
    lent: Lent

    async def make(self, found: Found, settings: ModelSettings) -> Entry:
        """Load and warm up one version."""
        made = await self._loaded(found, settings)
        return await self.warm_up(made) if isinstance(made, Model) else made

    async def _loaded(self, found: Found, settings: ModelSettings) -> Entry:
        for amount in loading_bytes(found):
            try:
                async with self.lent(amount):
                    return await self.off_loop(self._load, found, settings)
            except TooLarge as error:
                why = f"it cannot be loaded: {error}"
        return Broken(found.name, found.version, why)

    def _load(self, found: Found, settings: ModelSettings) -> Entry:
        with kept_from_writers(found.files):
            return self.load(found, settings)

    async def configure(self, found: Found) -> ModelSettings:
        """What a model's own file says."""
        return await self.off_loop(read_model_settings, found.settings)

    async def off_loop(self, work: Callable[..., T], *args: object) -> T:
        """In the workshop's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *args)


def repository_of(
    folder: Path,
    settings: RepositorySettings,
    *,
    pool: Executor,
    load: Load,
    lent: Lent,
    note: Note,
) -> Repository:
    """A repository that holds nothing yet.

    Args:
        folder: of the models.
        settings: of the repository.
        pool: of one thread, where models are loaded and warmed up.
        load: a version's files become a model.
        lent: holds bytes of the memory that requests share.
        note: is told how long each run of a warm-up took.
    """
    workshop = Workshop(pool, load, WarmUp(pool, lent, note, settings.warm_up_s), lent)
    quiet = Quiet(folder, settings.settle_s)
    keeper = Keeper(
        make=workshop.make,
        configure=workshop.configure,
        settled=partial(workshop.off_loop, quiet.settled),
        policy=settings.versions,
    )
    look = partial(workshop.off_loop, contents, folder)
    return Repository(folder, look, keeper, settings.settle_s)
