"""The models that can be asked: a snapshot that is replaced as a whole while requests come and go.

    folder -> what lies there (files) -> which of it is wanted (policy)
           -> loaded and warmed up, one at a time, off the event loop (loading, warm_up)
           -> the snapshot is swapped, on the event loop, and whoever listens is told

A request keeps the `Model` that it got; a network that no snapshot holds any more is freed with its
last request. What cannot be served keeps nothing else from being served: it is listed as broken,
with its reason; and where it would have replaced something that works, that serves on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from anyres_server.errors import ModelBroken, ModelNotFound, StartFailed, Unavailable
from anyres_server.model import Model
from anyres_server.repository.entries import Broken, Entry, Models, Versions, newest
from anyres_server.repository.files import Contents
from anyres_server.repository.keeping import Keeper, Kept

log = logging.getLogger(__name__)

__all__ = ["Broken", "Entry", "Repository", "newest"]

Look: TypeAlias = Callable[[], Awaitable[Contents]]
Listener: TypeAlias = Callable[[Models], None]


class Repository:
    """Every model by name, and its versions, oldest first."""

    def __init__(self, folder: Path, look: Look, keeper: Keeper, settle_s: float) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._look = look
        self._keeper = keeper
        self._kept: Mapping[str, Kept] = {}
        self._models: Models = MappingProxyType({})
        self._listeners: list[Listener] = []
        self._unloaded: set[str] = set()
        self._turn = asyncio.Lock()
        self._ready = False
        self._said = ""
        self._device = 0

    @property
    def models(self) -> Models:
        """Every model's versions as they are now; this mapping itself never changes."""
        return self._models

    @property
    def ready(self) -> bool:
        """Whether everything that lay in the folder at first has been tried."""
        return self._ready

    def get(self, name: str, version: str = "") -> Model:
        """A model that can be asked; without a version, the newest that works.

        Raises:
            ModelNotFound: there is none of that name or version; lists those there are.
            ModelBroken: it is there, but cannot be served.
            Unavailable: it may be there once the server has started.
        """
        versions = self.versions(name)
        if version and version not in versions:
            raise ModelNotFound(
                f"model {name!r} has no version {version!r}; there are {', '.join(versions)}"
            )
        entry = versions[version] if version else newest(versions)
        if isinstance(entry, Broken):
            raise ModelBroken(f"model {name!r} cannot be served: {entry.reason}")
        return entry

    def versions(self, name: str) -> Versions:
        """The versions of a model.

        Raises:
            ModelNotFound: there is no such model; lists those there are.
            Unavailable: it may be there once the server has started.
        """
        if name in self._models:
            return self._models[name]
        if not self._ready:
            raise Unavailable(f"the server is starting; model {name!r} may still be loading")
        names = ", ".join(self._models) or "none"
        raise ModelNotFound(f"there is no model {name!r}; there are: {names}")

    def trouble(self, name: str, version: str) -> str:
        """Why a version that is served is not the one that lies in the folder; "" where it is."""
        held = self._kept.get(name, Kept()).versions.get(version)
        return held.trouble if held else ""

    def hear(self, listener: Listener) -> None:
        """Call a listener with the models as they are, and again at every change, on the loop."""
        self._listeners.append(listener)
        listener(self._models)

    async def start(self) -> None:
        """Load what lies in the folder.

        Raises:
            StartFailed: there is no such folder, or it cannot be read.
        """
        try:
            await self._look()
        except FileNotFoundError as error:
            raise StartFailed(
                f"there is no folder {self._folder}; expected one with <name>.onnx files"
            ) from error
        except OSError as error:
            raise StartFailed(f"{self._folder} cannot be read: {error.strerror}") from error
        if not await self.refresh():  # perhaps it was written just now, by somebody who is done
            await asyncio.sleep(self._settle_s)
            await self.refresh()
        self._ready = True
        self._tell()

    async def refresh(self) -> bool:
        """Take over what has changed in the folder; whether nobody is writing there still."""
        async with self._turn:
            try:
                found = await self._look()
            except OSError as error:
                self._say(f"{self._folder} cannot be read ({error.strerror}); what is loaded stays")
                return True  # whoever polls looks again
            if self._kept and not found.names and found.device != self._device:
                self._say(f"{self._folder} is empty, as if unmounted; what is loaded stays")
                return True
            self._say("")
            self._device = found.device
            for name in [name for name in self._kept if name not in found.names]:
                self._unloaded.discard(name)
                self._show(name, Kept())
                log.info("model %s is gone", name)
            for name in found.names:
                await self._take(name, found)
            return not any(kept.waiting for kept in self._kept.values())

    async def load(self, name: str) -> None:
        """Load a model, or what has changed of it, now.

        Raises:
            ModelNotFound: there is none of that name in the folder.
            ModelBroken: it cannot be served, or not as it lies there now.
        """
        async with self._turn:
            try:
                found = await self._look()
            except OSError as error:
                raise ModelBroken(f"the models' folder cannot be read: {error.strerror}") from error
            if name not in found.names:
                there = ", ".join(found.names) or "none"
                raise ModelNotFound(f"there is no model {name!r}; there are: {there}")
            self._unloaded.discard(name)
            await self._take(name, found, again=True)
            kept = self._kept[name]
        if why := next((held.trouble for held in kept.versions.values() if held.trouble), ""):
            raise ModelBroken(f"model {name!r} is served as it was before: {why}")
        self.get(name)

    async def unload(self, name: str) -> None:
        """Take a model out of service until it is loaded again; what it works on is finished.

        Raises:
            ModelNotFound: there is no such model.
        """
        async with self._turn:
            self.versions(name)
            self._unloaded.add(name)
            self._show(name, self._kept[name].without_networks(name))
            log.info("model %s is unloaded", name)

    async def _take(self, name: str, contents: Contents, *, again: bool = False) -> None:
        """Bring one model up to date."""
        if name in self._unloaded:
            return
        before = self._kept.get(name, Kept())
        if why := contents.unreadable.get(name):
            self._show(name, before.troubled(name, why))
            return
        found = contents.models[name]
        self._show(name, await self._keeper.renewed(name, before, found, again=again))

    def _show(self, name: str, kept: Kept) -> None:
        """Swap the snapshot, if anything that can be asked is different."""
        rest = {other: its for other, its in self._kept.items() if other != name}
        there = {name: kept} if kept.versions or kept.seen else {}
        self._kept = dict(sorted((rest | there).items()))
        if self._models.get(name, {}) != kept.entries:
            asked = {name: kept.entries for name, kept in self._kept.items() if kept.versions}
            self._models = MappingProxyType(asked)
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self._models)

    def _say(self, trouble: str) -> None:
        """Once, not at every look."""
        if trouble and trouble != self._said:
            log.warning("%s", trouble)
        self._said = trouble
