"""What is kept of a model, and how that is renewed when its files have changed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from anyres_server.errors import ModelBroken
from anyres_server.model import Model
from anyres_server.repository.entries import UNLOADED, Broken, Entry, Versions
from anyres_server.repository.files import Found
from anyres_server.repository.policy import candidates, enough, missing, twice
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.versions import VersionPolicy

log = logging.getLogger(__name__)

Make: TypeAlias = Callable[[Found, ModelSettings], Awaitable[Entry]]
Configure: TypeAlias = Callable[[Found], Awaitable[ModelSettings]]
Settled: TypeAlias = Callable[[Found], Awaitable[bool]]

WRITTEN = "its files are still being written"


@dataclass(frozen=True)
class Held:
    """One version: what serves, and what its files were when they were last tried."""

    found: Found | None  # None: try again, whatever lies there
    entry: Entry
    trouble: str = ""  # why what lies there is not what serves


@dataclass(frozen=True)
class Kept:
    """One model: its versions, oldest first, and all that was seen when they were last renewed."""

    versions: Mapping[str, Held] = field(default_factory=dict)
    seen: tuple[Found, ...] = ()  # empty: look again, whatever lies there

    @property
    def settled(self) -> bool:
        """Whether there is nothing to try again before something changes."""
        return bool(self.seen)

    @property
    def waiting(self) -> bool:
        """Whether files of it are still being written."""
        return any(_reason(held) == WRITTEN for held in self.versions.values())

    @property
    def entries(self) -> Versions:
        """What there is to ask."""
        return {version: held.entry for version, held in self.versions.items()}

    def without_networks(self, name: str) -> Kept:
        """The same versions, unloaded."""
        return Kept({v: Held(None, Broken(name, v, UNLOADED)) for v in self.versions})

    def troubled(self, name: str, why: str) -> Kept:
        """The same, where it cannot be known what lies there."""
        versions = {v: Held(None, held.entry, why) for v, held in self.versions.items()}
        return Kept(versions or {"1": Held(None, Broken(name, "1", why))})


@dataclass(frozen=True)
class Keeper:
    """Renews one model at a time; what opens files and runs networks is handed in.

    Attributes:
        make: loads and warms up one version.
        configure: reads a model's settings; raises ModelBroken where they are wrong.
        settled: whether nobody is writing to a version's files, and they are as they were found.
        policy: which versions are served where a model's own settings do not say it.
    """

    make: Make
    configure: Configure
    settled: Settled
    policy: VersionPolicy

    async def renewed(
        self, name: str, before: Kept, found: tuple[Found, ...], *, again: bool = False
    ) -> Kept:
        """What is kept of a model, once what has changed in its files is taken over.

        Args:
            name: of the model.
            before: what was kept of it.
            found: its versions as they lie there, oldest first.
            again: also try again what was broken.
        """
        if before.settled and before.seen == found and not again:
            return before
        policy = await self._policy(found)
        held: dict[str, Held] = {}
        works = 0
        for each in candidates(found, policy):
            if enough(works, policy):
                break
            earlier = before.versions.get(each.version)
            why = twice(each, found)
            held[each.version] = (
                _taken(each, earlier, Broken(name, each.version, why))
                if why
                else await self._renewed(each, earlier, again=again)
            )
            works += isinstance(held[each.version].entry, Model)
        settled = all(version.found for version in held.values())
        for number in missing(found, policy):
            version = str(number)
            held[version] = _absent(name, version, found, before.versions.get(version))
        if not works:
            held = _served_on(before, found, held)
        in_order = sorted(held.items(), key=lambda item: int(item[0]))
        return Kept(dict(in_order), found if settled else ())

    async def _policy(self, found: tuple[Found, ...]) -> VersionPolicy:
        try:
            return (await self.configure(found[-1])).versions or self.policy
        except ModelBroken:
            return self.policy  # each of its versions will say why

    async def _renewed(self, found: Found, before: Held | None, *, again: bool) -> Held:
        if before and before.found == found and not (again and _lacks(before)):
            return before
        if not await self.settled(found):
            return _waiting(found, before)
        made = await self._made(found)
        if not await self.settled(found):
            return _waiting(found, before)
        return _taken(found, before, made)

    async def _made(self, found: Found) -> Entry:
        try:
            settings = await self.configure(found)
        except ModelBroken as error:
            return Broken(found.name, found.version, str(error))
        return await self.make(found, settings)


def _lacks(held: Held) -> bool:
    return bool(held.trouble) or isinstance(held.entry, Broken)


def _waiting(found: Found, before: Held | None) -> Held:
    if before is None:
        return Held(None, Broken(found.name, found.version, WRITTEN))
    return Held(None, before.entry, before.trouble or WRITTEN)


def _taken(found: Found, before: Held | None, made: Entry) -> Held:
    """What was made, unless that is broken and something works already."""
    name, version = found.name, found.version
    if isinstance(made, Model):
        log.info("model %s version %s is ready", name, version)
        return Held(found, made)
    tried = None if made.passing else found
    held, on = Held(tried, made), ""
    if before and isinstance(before.entry, Model):
        held, on = Held(tried, before.entry, made.reason), "; the one before it serves on"
    if before is None or _reason(held) != _reason(before):
        log.warning("model %s version %s cannot be served: %s%s", name, version, made.reason, on)
    return held


def _absent(name: str, version: str, found: tuple[Found, ...], before: Held | None) -> Held:
    """A version that is asked for and not there, listed so that somebody sees it."""
    there = ", ".join(each.version for each in found)
    why = f"the settings ask for version {version}, which is not there; there are: {there}"
    if before is None or _reason(before) != why:
        log.warning("model %s: %s", name, why)
    return Held(found[-1], Broken(name, version, why))


def _served_on(
    before: Kept, found: tuple[Found, ...], wanted: Mapping[str, Held]
) -> dict[str, Held]:
    """What served before and still lies there, beside what is wanted, of which nothing works."""
    there = {each.version for each in found}
    why = "; ".join(filter(None, map(_reason, wanted.values())))
    served = {
        version: Held(held.found, held.entry, why or held.trouble)
        for version, held in before.versions.items()
        if version in there and version not in wanted and isinstance(held.entry, Model)
    }
    return {**wanted, **served}


def _reason(held: Held) -> str:
    return held.trouble or (held.entry.reason if isinstance(held.entry, Broken) else "")
