"""Which of a model's versions are served: `all`, the `latest` n that work, or `specific` ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anyres_server.repository.files import Found
from anyres_server.settings.versions import VersionPolicy


def candidates(versions: Sequence[Found], policy: VersionPolicy) -> tuple[Found, ...]:
    """Those that may be served, newest first."""
    newest_first = tuple(reversed(versions))
    if isinstance(policy, tuple):
        return tuple(found for found in newest_first if found.number in policy)
    return newest_first


def enough(works: int, policy: VersionPolicy) -> bool:
    """Whether so many that work, counted from the newest, are all that is wanted."""
    return isinstance(policy, int) and works >= policy


def missing(versions: Iterable[Found], policy: VersionPolicy) -> tuple[int, ...]:
    """Versions that are asked for and not there."""
    there = {found.number for found in versions}
    return tuple(n for n in policy if n not in there) if isinstance(policy, tuple) else ()
