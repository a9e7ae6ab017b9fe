"""What is drawn over sizes and over time: cost of admissible images, memory while one runs.

Sizes are taken in equal ratios, so that a logarithmic axis is evenly filled. They are squares where
the model takes squares. Where one axis is pinned the other grows alone, and where both are pinned
there is one point and nothing to draw.
"""

from __future__ import annotations

from dataclasses import dataclass

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.cost.memory import moments, schedule
from anyres_analyzer.report.compose import cost_at
from anyres_analyzer.report.facts import Cost, Size
from anyres_analyzer.sizes.contract import AxisContract

LARGEST_SIDE = 4096
POINTS = 48


@dataclass(frozen=True)
class Curve:
    """Costs at growing sizes; `along` is what grows: "side", "width", "height" or "nothing"."""

    along: str
    points: tuple[Cost, ...]


@dataclass(frozen=True)
class Timeline:
    """Bytes of live activations at each node's turn, at one (width, height)."""

    size: Size
    moments: tuple[tuple[str, int], ...]

    @property
    def peak(self) -> tuple[str, int]:
        """The node where most is alive, and how much."""
        return max(self.moments, key=lambda moment: moment[1])


def curve(analysis: Analysis) -> Curve:
    """The costs of sizes from the smallest that is taken to about 4096x4096."""
    sizes = analysis.sizes
    grows = sizes.width.maximum is None, sizes.height.maximum is None
    costs = (cost_at(analysis, size) for size in _ladder(sizes.width, sizes.height))
    return Curve(_ALONG[grows], tuple(cost for cost in costs if cost.refused is None))


_ALONG = {
    (True, True): "side",
    (True, False): "width",
    (False, True): "height",
    (False, False): "nothing",
}


def _ladder(width: AxisContract, height: AxisContract) -> tuple[Size, ...]:
    """Admissible sizes in equal ratios, each once."""
    smallest = max(width.minimum, height.minimum)
    largest = max(LARGEST_SIDE, 4 * smallest)
    ratio = (largest / smallest) ** (1 / (POINTS - 1))
    sides = (round(smallest * ratio**step) for step in range(POINTS))
    return tuple(dict.fromkeys(_admissible(width, height, side) for side in sides))


def _admissible(width: AxisContract, height: AxisContract, side: int) -> Size:
    """The smallest size with no side below this one, square where steps allow it."""
    size = width.at_least(side), height.at_least(side)
    if width.maximum is None and height.maximum is None:
        size = width.at_least(max(size)), height.at_least(max(size))
    return size


def timeline(analysis: Analysis, size: Size) -> Timeline:
    """Memory from node to node, in the order in which they run.

    Raises:
        Inadmissible: the model does not take this size.
    """
    graph = analysis.graph
    tensors = analysis.shapes.at(size[1], size[0])
    steps = schedule(graph, tensors)
    alive = moments(graph.image.name, steps, lambda name: tensors[name].bytes)
    return Timeline(size, tuple(alive))
