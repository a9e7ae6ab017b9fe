"""The one block in which ONNX Runtime lays out a size that it has seen before.

With memory patterns (on unless switched off) the first image of a size is run buffer by buffer and
watched; every later one gets a block that held all of them, outputs and workspace apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.cost.runtime.schedule import Event


def reach(events: Iterable[Event]) -> Iterator[int]:
    """Bytes of the block that have been written to after each event; the last are all.

    A buffer goes into the smallest gap that holds it, else to the end.
    """
    placed: list[tuple[int, int, str]] = []  # offset, end, buffer; by offset
    size = 0
    for event in events:
        if event.bytes and not (event.is_output or event.is_workspace):
            offset = _offset(placed, aligned(event.bytes))
            end = offset + aligned(event.bytes)
            placed = sorted([*placed, (offset, end, event.buffer)])
            size = max(size, end)
        elif not event.bytes:
            placed = [item for item in placed if item[2] != event.buffer]
        yield size


def aligned(size: int) -> int:
    """Rounded up to what allocators give out."""
    return -(-size // facts.ARENA_ALIGNMENT) * facts.ARENA_ALIGNMENT


def _offset(placed: list[tuple[int, int, str]], needed: int) -> int:
    gaps, end = [], 0
    for start, stop, _ in placed:
        if start - end >= needed:
            gaps.append((start - end, end))
        end = stop
    return min(gaps)[1] if gaps else end
