"""Pools over the map: a window of the trained size that slides by one cell, or none at all."""

from __future__ import annotations

from math import prod

import numpy as np

from anyres_analyzer.graph.window import window_of
from anyres_exporter.rewrite.convolutionalize.call import Call
from anyres_exporter.rewrite.convolutionalize.channel_rules import reduced_over_channels
from anyres_exporter.rewrite.convolutionalize.view import View

_POOLS = {
    "AveragePool": "AveragePool",
    "GlobalAveragePool": "AveragePool",
    "GlobalMaxPool": "MaxPool",
    "MaxPool": "MaxPool",
    "ReduceMax": "MaxPool",
    "ReduceMean": "AveragePool",
    "ReduceSum": "AveragePool",
}


def pooled_globally(call: Call) -> View:
    """GlobalAveragePool, GlobalMaxPool."""
    view = call.only
    if not _is_plain(view):
        call.refuse("it pools something else than the rows and columns of a map")
    return _pooled(call, view, "hw")


def pooled(call: Call) -> View:
    """AveragePool and MaxPool whose window is the whole map."""
    view = call.only
    if not _is_plain(view) or view.dims[2] not in ("", "h") or len(view.dims) != 4:
        call.refuse("it pools something else than the rows and columns of a map")
    for axis, extent in enumerate(view.extents[2:]):
        window = window_of(call.node, axis)
        if window.taps != extent or window.pad_before or window.pad_after or window.same:
            call.refuse(f"its window is not the whole map of {extent} cells")
    return _pooled(call, view, "hw")


def reduced(call: Call) -> View:
    """Reductions, over cells or over channels."""
    view = call.only
    rank = len(view.dims)
    named = call.numbers("axes", 1)
    if not named and call.node.attributes.get("noop_with_empty_axes", 0):
        return view
    over = {axis % rank for axis in (named or range(rank))}
    axes = "".join(view.dims[axis] for axis in over)
    if "n" in axes:
        call.refuse("it mixes the images of a batch")
    if axes and "c" in axes:
        made = reduced_over_channels(call, view, axes)
    elif call.node.op_type not in _POOLS:
        call.refuse("no convolution or pool stands for it over the cells of a window")
    else:
        made = _pooled(call, view, axes)
    if call.node.attributes.get("keepdims", 1):
        return made
    return made.arranged(dim for axis, dim in enumerate(made.dims) if axis not in over)


def _is_plain(view: View) -> bool:
    """Whether it is (n, c, cells), however the cells are arranged."""
    images, channels, *cells = view.dims
    return images in ("", "n") and channels in ("", "c") and {*"".join(cells)} <= {*"hw"}


def _pooled(call: Call, view: View, axes: str) -> View:
    kernel = tuple(view.extents.of(axis if axis in axes else "") for axis in "hw")
    if kernel == (1, 1):
        return view.shrunk(axes, view.map, view.cells)
    if call.pool == "drop":
        if _POOLS[call.node.op_type] != "AveragePool":
            call.refuse("only an average can be dropped; --pool keep makes it a window")
        return view.shrunk(axes, _times_cells(call, view.map, kernel), view.cells)
    made = call.graft.node(_POOLS[call.node.op_type], [view.map], call.stem, kernel_shape=kernel)
    rows, columns = view.cells
    cells = rows - kernel[0] + 1, columns - kernel[1] + 1
    return view.shrunk(axes, _times_cells(call, made, kernel), cells)


def _times_cells(call: Call, mean: str, kernel: tuple[int, ...]) -> str:
    """A sum is the mean times the number of cells."""
    if call.node.op_type != "ReduceSum":
        return mean
    dtype = call.source.number_type(call.node.inputs[0])
    cells = call.graft.constant(np.array(prod(kernel), dtype), f"{call.stem}.cells")
    return call.graft.node("Mul", [mean, cells], call.stem)
