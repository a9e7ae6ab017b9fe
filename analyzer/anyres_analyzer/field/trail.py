"""The nodes that a field came through, for the messages about paths that do not meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Trail:
    """The nodes that moved a field, last first: a chain that branches share."""

    node: str
    before: Trail | None


def _links(trail: Trail | None) -> Iterator[Trail]:
    while trail is not None:
        yield trail
        trail = trail.before


@dataclass(frozen=True)
class Misalignment:
    """A join of two paths of one stride that are centred on different pixels."""

    node: str
    distance: Fraction  # in input pixels
    paths: tuple[tuple[str, ...], tuple[str, ...]]

    def __str__(self) -> str:
        one, other = (described(path) for path in self.paths)
        return f"{self.node} joins paths whose centres lie {self.distance} px apart: {one}; {other}"


def described(nodes: tuple[str, ...]) -> str:
    """A path in words, by the nodes that are on it alone."""
    if not nodes:
        return "one straight on"
    shown = nodes if len(nodes) <= 4 else (*nodes[:2], f"{len(nodes) - 4} more", *nodes[-2:])
    return "one through " + ", ".join(shown)


def apart(one: Trail | None, other: Trail | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The nodes of each path since the two parted."""
    return _since(one, other), _since(other, one)


def _since(one: Trail | None, other: Trail | None) -> tuple[str, ...]:
    shared = set(map(id, _links(other)))
    return tuple(link.node for link in _links(one) if id(link) not in shared)[::-1]
