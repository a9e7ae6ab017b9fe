"""When ONNX Runtime knows that two maps are of one size before it knows the image.

It does not compare formulas. A side of a blocked map is known by the map it was first seen in and
how often it has been halved since, which windows keep track of that pad by what they overlap.
Where that fails, a residual sum of equal maps is not fused.
"""

from __future__ import annotations

from anyres_analyzer.graph.graph import Node
from anyres_analyzer.graph.window import Window, window_of

Extent = tuple[str, int, int]  # the map it was first seen in, the axis there, how often halved
Extents = tuple[Extent, Extent]


def fresh(name: str) -> Extents:
    """Of a map whose size follows from no other's."""
    return (name, 0, 0), (name, 1, 0)


def after_window(node: Node, weight: tuple[int, ...] | None, before: Extents) -> Extents:
    """Of what a convolution or pool makes of a blocked map."""
    new = fresh(node.made[0])
    height, width = (
        _after(window_of(node, axis, weight), before[axis]) or new[axis] for axis in (0, 1)
    )
    return height, width


def _after(window: Window, before: Extent) -> Extent | None:
    if window.dilation != 1 or window.stride not in (1, 2):
        return None
    if not window.same and window.pad_before + window.pad_after + 1 != window.taps:
        return None
    name, axis, halved = before
    return name, axis, halved + window.stride - 1
