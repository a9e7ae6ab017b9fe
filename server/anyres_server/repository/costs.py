"""What a size costs in ONNX Runtime: the analyzer's count, and its memory as the runtime takes it.

Live activations are what any runtime must hold. ONNX Runtime holds more: convolutions bring working
space, some orders of nodes keep buffers longer. The analyzer follows it node by node, which takes
milliseconds, so the ratio of the two is taken once, at a few sizes, and the largest holds for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from anyres_analyzer import Analysis, Cost
from anyres_analyzer.errors import Inadmissible
from anyres_server.model import CostFunction

SIDES = (256, 512, 1024)  # pixels: below, buffers of fixed size outweigh the rest


def costs(analysis: Analysis) -> CostFunction:
    """The cost of a height, a width and a number of images."""
    ratio = max((_ratio(analysis, size) for size in _sizes(analysis)), default=1.0)

    def cost_of(height: int, width: int, batch: int) -> Cost:
        usual = batch == 1 and analysis.input.dynamic_batch
        found = analysis.cost_of_any(height, width, None if usual else batch)
        return replace(found, activation_bytes=ceil(found.activation_bytes * ratio))

    return cost_of


def _ratio(analysis: Analysis, size: tuple[int, int]) -> float:
    live = analysis.cost_of_any(*size).activation_bytes
    return max(1.0, analysis.runtime_memory(*size).arena_off_bytes / max(1, live))


def _sizes(analysis: Analysis) -> Iterator[tuple[int, int]]:
    sizes = analysis.sizes
    for side in SIDES:
        size = sizes.height.at_least(side), sizes.width.at_least(side)
        try:
            analysis.cost_of_any(*size)
        except Inadmissible:
            continue
        yield size
