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


def twice(found: Found, versions: Iterable[Found]) -> str:
    """Why a version is not served whatever its files hold: it is there twice; "" where it is not.

    Of 1 and 01, which are one number, 1 is served.
    """
    same = [each.version for each in versions if each.number == found.number]
    first = min(same, key=len)
    if found.version != first:
        return f"version {found.version} is {first} again, which is there, too; remove one of them"
    return "two files claim to be this version" if same.count(first) > 1 else ""


def missing(versions: Iterable[Found], policy: VersionPolicy) -> tuple[int, ...]:
    """Versions that are asked for and not there."""
    there = {found.number for found in versions}
    return tuple(n for n in policy if n not in there) if isinstance(policy, tuple) else ()
