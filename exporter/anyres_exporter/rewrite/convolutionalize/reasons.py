"""Why a dense answer need not be the classifier's on its patch: read off the graph.

Three things can make them differ: a layer that looks at the whole image (squeeze-and-excite), a
field that reaches across the patch's border, where a patch has padding and an image has pixels, and
a dropped pool with layers behind it that are not linear. Where none is there, they are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from anyres_analyzer.graph.graph import Node
from anyres_analyzer.graph.window import window_of
from anyres_analyzer.output import AxisField
from anyres_exporter.rewrite.convolutionalize.convert import Converted

_WINDOWED = ("Conv", "MaxPool", "AveragePool", "LpPool", "ConvTranspose")


def reasons(converted: Converted) -> tuple[str, ...]:
    """Each in a sentence without its full stop; of the first output."""
    return (*_global(converted), *_borders(converted), *_bent(converted))


def _global(converted: Converted) -> Iterator[str]:
    breakers = converted.analysis.tiling.breakers
    if breakers:
        more = f" (and {len(breakers) - 1} more)" if len(breakers) > 1 else ""
        yield (
            f"it looks beyond the patch: node {breakers[0]}{more}; in a larger image that is "
            "another value than in the patch alone"
        )


def _borders(converted: Converted) -> Iterator[str]:
    field = converted.analysis.receptive_field
    padded = _padded(converted)
    if field is None:
        if padded:
            yield f"borders: {padded}"
        return
    answer, (height, width) = converted.answer, converted.source.size
    window = answer.window if answer.dropped else (1, 1)
    rows = _outside(field.height, height, window[0])
    columns = _outside(field.width, width, window[1])
    if any((*rows, *columns)):
        yield (
            f"zero padding: an answer sees {columns[0]} pixels left, {columns[1]} right, "
            f"{rows[0]} above and {rows[1]} below its {width}x{height} patch, which are padding "
            f"in the patch and pixels in a larger image; {padded or 'its windows overhang'}"
        )


def _outside(field: AxisField, size: int, cells: int) -> tuple[int, int]:
    """How far the first patch's answer, of so many cells, sees before it and behind it."""
    first = field.phases[0][0]
    last = max(
        field.phases[i % len(field.phases)][1] + field.advance * (i // len(field.phases))
        for i in range(cells)
    )
    return max(0, -first), max(0, last - (size - 1))


def _bent(converted: Converted) -> Iterator[str]:
    answer = converted.answer
    if answer.dropped and answer.bent:
        yield (
            f"the average was dropped, and node {answer.bent} behind it is not linear, so the "
            "mean of the cells' answers is not the classifier's answer"
        )


def _padded(converted: Converted) -> str:
    """How many of the layers with windows pad, and the first of them."""
    nodes = converted.analysis.graph.nodes
    layers = [node for node in nodes if node.op_type in _WINDOWED or node.op_type == "Pad"]
    padding = [node for node in layers if _pads(node, converted)]
    if not padding:
        return ""
    return (
        f"{len(padding)} of {len(layers)} layers with windows pad, the first is {padding[0].label}"
    )


def _pads(node: Node, converted: Converted) -> bool:
    if node.op_type == "Pad":
        return True
    constants = converted.analysis.graph.constants
    weights = [constants[name] for name in node.inputs[1:2] if name in constants]
    shape = weights[0].shape if weights else None
    windows = [window_of(node, axis, shape) for axis in (0, 1)]
    return any(
        window.pad_before or window.pad_after or (window.same and window.extent > 1)
        for window in windows
    )
