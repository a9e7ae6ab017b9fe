"""How much memory there is, and how much a picture takes.

A container sees its host's memory; what it may use stands in its control group (version 2, or
version 1 on older hosts). Page cache that can be dropped counts as free.
"""

from __future__ import annotations

import os
from pathlib import Path

from anyres_analyzer import Analysis
from anyres_analyzer.errors import Inadmissible
from anyres_exporter.evaluate.errors import DoesNotFit
from anyres_proto.card import Card, Formula, Term

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
SHARE = 0.7  # of what is available, for one picture

# (limit, use, the line of memory.stat that counts droppable cache) of versions 2 and 1
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
_RESERVED = 4  # times live activations: ONNX Runtime's arena took 2.3 to 4.1 times in our measures
_FLOAT = 4
_LABEL_BYTES = 8  # of a label's pixel: as it is stored, and as it is compared


def available_bytes(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int:
    """What this process can still take before it is killed or swaps."""
    free = [_meminfo(meminfo)]
    for limit, use, stat, cache in _GROUPS:
        most, used = _number(cgroup / limit), _number(cgroup / use)
        if most is not None and used is not None:
            free.append(most - used + _entry(cgroup / stat, cache))
    return max(0, min(free))


def held_bytes(size: tuple[int, int], channels: int) -> int:
    """What a picture (height, width) and its labels take while it is evaluated."""
    return size[0] * size[1] * (channels + _LABEL_BYTES)


def network_bytes(size: tuple[int, int], card: Card, analysis: Analysis | None) -> int | None:
    """The peak of a network for one image of this size, its input included; None if unknown.

    By what ONNX Runtime's arena reserves, or, of a graph that the analyzer does not read, by the
    card's formula of live activations.

    Raises:
        DoesNotFit: the graph does not take the size.
    """
    image = 2 * size[0] * size[1] * card.input.channels * _FLOAT  # scaled, then in its layout
    if analysis is None:
        formula = card.cost.formula if card.cost else None
        return image + _RESERVED * _activations(formula, size) if formula else None
    try:
        return image + analysis.runtime_memory(*size).arena_on_bytes
    except Inadmissible as error:
        raise DoesNotFit(f"the network does not take {size[1]}x{size[0]}: {error}") from error


def _activations(formula: Formula, size: tuple[int, int]) -> int:
    return max(sum(_value(term, size) for term in terms) for terms in formula.activation_bytes)


def _value(term: Term, size: tuple[int, int]) -> int:
    return int(term.coefficient * size[0] ** term.height * size[1] ** term.width)


def _meminfo(meminfo: Path) -> int:
    """What the kernel thinks can be had; all there is where it does not say."""
    kibibytes = _entry(meminfo, "MemAvailable:")
    return kibibytes * 1024 or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _entry(file: Path, name: str) -> int:
    """The number after a name, in a file of such lines; 0 where there is none."""
    lines = (line.split() for line in _text(file).splitlines())
    return next((int(words[1]) for words in lines if words[:1] == [name]), 0)


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""  # no such control group: no limit
