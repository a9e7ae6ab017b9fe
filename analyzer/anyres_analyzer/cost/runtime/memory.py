"""Peak memory of ONNX Runtime's CPU provider for one image, with its arena off and on.

Off, every buffer is taken when it is made and given back after its last use, so the peak is what is
alive, workspace included. (glibc keeps freed buffers below its mmap threshold, which it raises to
32 MiB by itself; with MALLOC_MMAP_THRESHOLD_ set, what is freed goes back at once.) On, nothing is
given back: buffers are placed in regions, best fit first, and regions double.

The image belongs to the caller and is not counted; the outputs are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.cost.runtime.lowering import RuntimeCall, lowered
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.shapes.tensor import Tensors


@dataclass(frozen=True)
class RuntimeMemory:
    """Bytes beyond weights and image.

    `arena_off_bytes` is the peak, and `peak_node` whose turn it is then; `arena_on_bytes` is what
    the arena has reserved, and holds, after the first image of this size.
    """

    arena_off_bytes: int
    arena_on_bytes: int
    peak_node: str


def predict(graph: Graph, tensors: Tensors) -> RuntimeMemory:
    """At the size that these tensors were walked at."""
    calls = lowered(graph, tensors)
    static = all(isinstance(dim, int) for dim in graph.image.dims)
    events = list(_events(calls, {output.name for output in graph.outputs}, static=static))
    peak, where = _most_alive(events)
    return RuntimeMemory(peak, _reserved(events), where)


@dataclass(frozen=True)
class _Event:
    """A buffer is taken (bytes above 0) or given back."""

    buffer: str
    bytes: int
    node: str


def _events(calls: tuple[RuntimeCall, ...], outputs: set[str], *, static: bool) -> Iterable[_Event]:
    """In the order they happen; a buffer that is written over goes on under its first name."""
    last = {name: index for index, call in enumerate(calls) for name in (*call.reads, call.makes)}
    names: dict[str, str] = {}  # buffer -> the name it was taken under
    taken: set[str] = set()
    for index, call in enumerate(calls):
        dying = [n for n in dict.fromkeys(call.reads) if last[n] == index and n not in outputs]
        over = next((n for n in call.may_overwrite if static and n in dying and n in names), None)
        names[call.makes] = names[over] if over else call.makes
        if not over:
            yield _Event(call.makes, call.bytes, call.node)
            taken.add(call.makes)
        if call.workspace_bytes:
            yield _Event("workspace", call.workspace_bytes, call.node)
            yield _Event("workspace", 0, call.node)
        unread = [call.makes] if last[call.makes] == index and call.makes not in outputs else []
        for name in (*(n for n in dying if n != over), *unread):
            if names.get(name) in taken:
                taken.remove(names[name])
                yield _Event(names[name], 0, call.node)


def _most_alive(events: Iterable[_Event]) -> tuple[int, str]:
    alive: dict[str, int] = {}
    peak, where = 0, ""
    for event in events:
        if event.bytes:
            alive[event.buffer] = event.bytes
        else:
            alive.pop(event.buffer, None)
        if sum(alive.values()) > peak:
            peak, where = sum(alive.values()), event.node
    return peak, where


def _reserved(events: Iterable[_Event]) -> int:
    arena = _Arena()
    for event in events:
        if event.bytes:
            arena.take(event.buffer, event.bytes)
        else:
            arena.give_back(event.buffer)
    return sum(region.bytes for region in arena.regions)


@dataclass
class _Region:
    bytes: int
    blocks: dict[str, tuple[int, int]]  # buffer -> offset and bytes

    def best_gap(self, needed: int) -> tuple[int, int] | None:
        """Bytes and offset of the smallest gap that holds so many."""
        found, end = [], 0
        for offset, size in (*sorted(self.blocks.values()), (self.bytes, 0)):
            if offset - end >= needed:
                found.append((offset - end, end))
            end = max(end, offset + size)
        return min(found, default=None)


class _Arena:
    """Best fit in regions that double, as in TensorFlow's BFC allocator."""

    def __init__(self) -> None:
        self.regions: list[_Region] = []
        self._next = facts.ARENA_FIRST_BYTES

    def take(self, buffer: str, size: int) -> None:
        needed = -(-size // facts.ARENA_ALIGNMENT) * facts.ARENA_ALIGNMENT
        gaps = ((region.best_gap(needed), region) for region in self.regions)
        fitting = [(gap, region) for gap, region in gaps if gap]
        if fitting:
            (_, offset), region = min(fitting, key=lambda found: found[0])
        else:
            region, offset = self._extended(needed), 0
        region.blocks[buffer] = (offset, needed)

    def give_back(self, buffer: str) -> None:
        for region in self.regions:
            region.blocks.pop(buffer, None)

    def _extended(self, needed: int) -> _Region:
        enough = self._next >= needed
        while self._next < needed:
            self._next *= 2
        region = _Region(self._next, {})
        self.regions.append(region)
        if enough:
            self._next *= 2
        return region
