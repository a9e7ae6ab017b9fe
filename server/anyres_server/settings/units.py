"""Sizes and durations as people write them: 536870912 or "512 MiB", 0.002 or "2 ms", "1m30s".

Bytes    B, KiB, MiB, GiB, TiB in steps of 1024; kB, MB, GB, TB in steps of 1000
Seconds  us, ms, s, min (or m), h; several one after the other
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ByteSize, Field, TypeAdapter, ValidationError

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
YEAR_S = 365 * 24 * 3600
STEPS = ("TiB", "GiB", "MiB", "KiB")
_PART = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|µs|ms|s|min|m|h)\s*", re.ASCII | re.IGNORECASE)
_SIZE = TypeAdapter(ByteSize)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return int(_SIZE.validate_python(value))
    except (ValidationError, OverflowError) as error:
        raise ValueError('expected bytes: a whole number, or "512 MiB", "2 GB"') from error


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    parts = list(_PART.finditer(value))
    if not parts or "".join(part[0] for part in parts) != value:
        raise ValueError('expected seconds: a number, or "200 ms", "1m30s", "1 h"')
    return sum(float(part[1]) * SECONDS[part[2].lower().replace("µ", "u")] for part in parts)


def _size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d{1,9})\s*[xX]\s*(\d{1,9})\s*", value, re.ASCII)
    if found is None or "0" in {found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"}:
        raise ValueError('expected a size in pixels, WIDTHxHEIGHT: "512x256"')
    return int(found[2]), int(found[1])


@dataclass(frozen=True)
class Unit:
    """What a setting's number counts."""

    name: str


Bytes: TypeAlias = Annotated[int, Unit("bytes"), BeforeValidator(_bytes)]
Size: TypeAlias = Annotated[tuple[int, int], BeforeValidator(_size)]
Seconds: TypeAlias = Annotated[
    float, Unit("seconds"), BeforeValidator(_seconds), Field(le=YEAR_S, allow_inf_nan=False)
]


def readable_bytes(amount: int) -> int | str:
    """The same amount in the largest unit of which it is a whole number, if there is one."""
    for power, unit in zip((4, 3, 2, 1), STEPS, strict=True):
        if amount and amount % 1024**power == 0:
            return f"{amount // 1024**power} {unit}"
    return amount
