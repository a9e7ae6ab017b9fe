"""What others send is shown to them in errors, but never at length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

LONGEST = 64
MOST = 8


def quoted(text: str) -> str:
    """A name as it came, in quotes, cut where it is long."""
    return repr(text) if len(text) <= LONGEST else f"{text[:LONGEST]!r}..."


def all_quoted(texts: Iterable[str]) -> str:
    """The first few names; "none" where there are none."""
    first = [quoted(text) for text in islice(texts, MOST + 1)]
    return ", ".join(first[:MOST] + ["..."] * (len(first) > MOST)) or "none"


def axes(shape: Sequence[int]) -> str:
    """A shape, its first axes alone where it has many."""
    more = ["..."] if len(shape) > MOST else []
    return f"[{', '.join([*map(str, shape[:MOST]), *more])}]"
