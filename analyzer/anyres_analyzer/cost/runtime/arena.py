"""What ONNX Runtime's arena reserves: best fit in regions that double, and no way back.

The algorithm is TensorFlow's BFC allocator, by the numbers of ONNX Runtime's `bfc_arena`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.cost.runtime.pattern import aligned
from anyres_analyzer.cost.runtime.schedule import Event


@dataclass
class _Region:
    bytes: int
    taken: dict[str, tuple[int, int]] = field(default_factory=dict)  # buffer -> offset, bytes

    def best_gap(self, needed: int) -> tuple[int, int] | None:
        """Bytes and offset of the smallest gap that holds so many."""
        gaps, end = [], 0
        for offset, size in (*sorted(self.taken.values()), (self.bytes, 0)):
            if offset - end >= needed:
                gaps.append((offset - end, end))
            end = offset + size
        return min(gaps, default=None)


class Arena:
    """Regions, and what lies in them."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []
        self._next = facts.ARENA_FIRST_BYTES

    @property
    def reserved_bytes(self) -> int:
        """Of all regions, and the tables beside them."""
        regions = sum(region.bytes for region in self._regions)
        return regions + regions // facts.ARENA_HANDLE_SHARE

    def run(self, events: Iterable[Event]) -> None:
        """Take and give back as it happens; what the caller got is given back in the end."""
        kept = set()
        for event in events:
            if event.bytes:
                self.take(event.buffer, event.bytes)
                kept |= {event.buffer} if event.is_output else set()
            else:
                self.give_back(event.buffer)
        for buffer in kept:
            self.give_back(buffer)

    def take(self, buffer: str, size: int) -> None:
        """In the smallest gap of any region, or in a new one."""
        needed = aligned(size)
        gaps = ((region.best_gap(needed), at) for at, region in enumerate(self._regions))
        found = [(*gap, at) for gap, at in gaps if gap]
        if not found:
            self._extend(needed)
            found = [(self._regions[-1].bytes, 0, len(self._regions) - 1)]
        gap, offset, at = min(found)
        splits = gap >= 2 * needed or gap - needed >= facts.ARENA_LARGEST_REST
        self._regions[at].taken[buffer] = (offset, needed if splits else gap)

    def give_back(self, buffer: str) -> None:
        """To the arena, which keeps it."""
        for region in self._regions:
            region.taken.pop(buffer, None)

    def _extend(self, needed: int) -> None:
        was_enough = self._next >= needed
        while self._next < needed:
            self._next *= 2
        self._regions.append(_Region(self._next))
        if was_enough:
            self._next = min(2 * self._next, max(self._next, facts.ARENA_LARGEST_DOUBLING))
