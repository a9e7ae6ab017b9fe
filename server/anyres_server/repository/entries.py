"""What a repository holds: every model by name, and its versions, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from anyres_server.model import Model

UNLOADED = "unloaded"


@dataclass(frozen=True)
class Broken:
    """One version of a model that cannot be served, and why."""

    name: str
    version: str
    reason: str
    passing: bool = False  # whether the same files may load another time

    @property
    def unloaded(self) -> bool:
        """Whether it was taken out of service by whoever may, and its file may be good."""
        return self.reason == UNLOADED


Entry: TypeAlias = Model | Broken
Versions: TypeAlias = Mapping[str, Entry]
Models: TypeAlias = Mapping[str, Versions]


def newest(versions: Versions) -> Entry:
    """The newest version that works; the newest of all where none does."""
    entries = list(versions.values())
    return next((e for e in reversed(entries) if isinstance(e, Model)), entries[-1])
