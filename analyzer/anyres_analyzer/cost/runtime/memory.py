"""Peak memory of ONNX Runtime's CPU provider for one image, with its arena off and on.

Off, every buffer is taken when it is made and given back after its last use, so the peak is what is
alive, workspace included. With memory patterns, which are on unless switched off, that holds for
the first image of a size; later ones get one block for all. On, nothing is ever given back.

The image belongs to the caller and is not counted; the outputs are. Weights are not either: they
are there before, and once: what is blocked or packed replaces what it is made of (measured: 0.3 to
6.3 MiB beyond the file, of five files of 13 to 528). What a process shows may be more: glibc keeps
freed buffers below its mmap threshold, which it raises by itself to 32 MiB; with
MALLOC_MMAP_THRESHOLD_=65536 what is freed goes back at once.

Two things are not looked at. A file may name sizes of maps inside (torch's newer exporter does, in
`value_info`), by which ONNX Runtime knows more of them to be equal, fuses and places otherwise:
measured at 320x320, 0.65 to 1.5 times of what is taken on 6 of 34 convolutional networks of that
exporter, and within 3 % on the same 6 without the names. And with memory patterns, sizes whose
sides have the same exclusive or (all squares, for one) share the block of the first, so that a
small image takes as much as a large one did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from anyres_analyzer.cost.runtime import facts
from anyres_analyzer.cost.runtime.arena import Arena
from anyres_analyzer.cost.runtime.doubt import doubt
from anyres_analyzer.cost.runtime.lowering import lowered
from anyres_analyzer.cost.runtime.pattern import reach
from anyres_analyzer.cost.runtime.schedule import Event, events
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.shapes.tensor import Tensors


@dataclass(frozen=True)
class RuntimeMemory:
    """Bytes beyond weights and image.

    `arena_off_bytes` is the peak, and `peak_node` whose turn it is then; `repeated_bytes` is the
    peak of later images of this size where memory patterns are on; `arena_on_bytes` is what the
    arena has reserved, and holds, when images of this size have gone through, patterns being on.
    `doubt` says why all of it may be far off, where it may.
    """

    arena_off_bytes: int
    arena_on_bytes: int
    repeated_bytes: int
    peak_node: str
    doubt: str | None


def predict(graph: Graph, tensors: Tensors) -> RuntimeMemory:
    """At the size that these tensors were walked at."""
    happening = tuple(events(lowered(graph, tensors)))
    alive = tuple(_alive(happening))
    peak = max(range(len(alive)), key=alive.__getitem__)
    return RuntimeMemory(
        arena_off_bytes=alive[peak],
        arena_on_bytes=_reserved(graph, happening),
        repeated_bytes=_repeated(happening),
        peak_node=happening[peak].node,
        doubt=doubt(graph, tensors),
    )


def _alive(happening: Iterable[Event]) -> Iterator[int]:
    sizes: dict[str, int] = {}
    alive = 0
    for event in happening:
        alive += event.bytes - sizes.pop(event.buffer, 0)
        if event.bytes:
            sizes[event.buffer] = event.bytes
        yield alive


def _repeated(happening: tuple[Event, ...]) -> int:
    """What has been written to of the block, and what lies beside it."""
    beside = [
        event if event.is_output or event.is_workspace else replace(event, bytes=0)
        for event in happening
    ]
    return max(block + rest for block, rest in zip(reach(happening), _alive(beside), strict=True))


def _reserved(graph: Graph, happening: tuple[Event, ...]) -> int:
    """For two images of this size, beyond what the weights have reserved before."""
    arena = Arena()
    for node in graph.nodes:
        if node.op_type in facts.ARENA_PACKED and node.inputs[1] in graph.constants:
            elements = prod(graph.constants[node.inputs[1]].shape)
            arena.take(f"{node.label}'s weights", elements * facts.FLOAT_BYTES)
    weights = arena.reserved_bytes
    arena.run(happening)
    arena.run(_patterned(happening))
    return arena.reserved_bytes - weights


def _patterned(happening: tuple[Event, ...]) -> tuple[Event, ...]:
    """What is left to take when one block holds all that was planned."""
    block = Event("block", max(reach(happening)), "memory pattern")
    outputs = {event.buffer for event in happening if event.is_output}
    beside = (event for event in happening if event.is_workspace or event.buffer in outputs)
    return (block, *beside, replace(block, bytes=0))
