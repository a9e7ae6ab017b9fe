"""Which versions of a model are served, as it is written: "all", "latest", "latest 2", [1, 3]."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, PlainSerializer

# "all"; the number of the newest that work; or these.
_Policy: TypeAlias = Literal["all"] | int | tuple[int, ...]
EXPECTED = 'expected "all", "latest", "latest N" or a list of version numbers'


def _read(value: Any) -> _Policy:
    match value:
        case "all":
            return "all"
        case "latest":
            return 1
        case str() if found := re.fullmatch(r"latest\s*\(?\s*([1-9]\d{0,8})\s*\)?", value):
            return int(found[1])
        case list() | tuple() if value and all(type(n) is int and n >= 0 for n in value):
            return tuple(sorted(set(value)))
    raise ValueError(EXPECTED)


def _written(policy: _Policy) -> str | list[int]:
    match policy:
        case int():
            return "latest" if policy == 1 else f"latest {policy}"
        case tuple():
            return list(policy)
        case _:
            return policy


VersionPolicy: TypeAlias = Annotated[
    _Policy, BeforeValidator(_read), PlainSerializer(_written, when_used="json")
]
