"""Operators that only arrange: they make another view of the same map, and no node."""

from __future__ import annotations

import numpy as np

from anyres_exporter.rewrite.convolutionalize.call import Call
from anyres_exporter.rewrite.convolutionalize.view import View, regrouped


def reshaped(call: Call) -> View:
    """Reshape, Flatten, Squeeze, Unsqueeze: by what they make at the native size."""
    view = regrouped(call.only, call.shape)
    if view is None:
        call.refuse(
            f"it splits {list(call.only.shape)} into {list(call.shape)}, "
            "which is no order of channels and cells"
        )
    return view


def moved(call: Call) -> View:
    """Transpose."""
    view = call.only
    order = call.node.attributes.get("perm") or tuple(reversed(range(len(view.dims))))
    return view.arranged(view.dims[axis] for axis in order)


def gathered(call: Call) -> View:
    """Gather: of all positions in order, of the only one, or of some channels."""
    view, indices = call.only, call.value(1)
    axis = call.node.attributes.get("axis", 0) % len(view.dims)
    extent = view.shape[axis]
    wanted = indices.reshape(-1) % extent
    if np.array_equal(wanted, np.arange(extent)):
        return reshaped(call)
    if view.dims[axis] != "c" or indices.ndim > 1:
        call.refuse("it picks some of the cells that an answer is made of")
    chosen = call.graft.constant(wanted.astype(np.int64), call.node.inputs[1])
    made = call.graft.node("Gather", [view.map, chosen], call.stem, axis=1)
    before, after = view.dims[:axis], view.dims[axis + 1 :]
    kept = () if indices.ndim == 0 else ("c",)
    return view.with_channels(len(wanted), (*before, *kept, *after), made)
