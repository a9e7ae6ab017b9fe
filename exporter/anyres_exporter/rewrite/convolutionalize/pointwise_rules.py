"""Operators that take each number by itself: the same node on the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anyres_exporter.rewrite.convolutionalize.affine_rules import normalising, owing
from anyres_exporter.rewrite.convolutionalize.call import Call
from anyres_exporter.rewrite.convolutionalize.view import View

_LINEAR = frozenset({"Add", "Dropout", "Identity", "Neg", "Sub", "Sum"})
_LINEAR_BY_A_CONSTANT = frozenset({"Mul", "Div"})


def pointwise(call: Call) -> View:
    """Activations, arithmetic with constants, and with another view of the same cells."""
    owed = owing(call)
    if owed is not None:
        return owed
    met = _met(call)
    inputs = [
        view.map if view else call.along(index, met) if call.given(index) else ""
        for index, view in enumerate(call.views)
    ]
    return replace(met, map=call.graft.copy(call.node.proto, inputs), bent=bent(call, met))


def bent(call: Call, view: View) -> str | None:
    """The first node that is not linear behind a dropped pool, this one counted."""
    behind = next((v.bent for v in call.views if v is not None and v.bent), None)
    if behind or not view.per_cell or call.node.op_type in _LINEAR:
        return behind
    together = sum(v is not None for v in call.views) > 1
    divides = call.node.op_type == "Div" and call.views[0] is None
    if call.node.op_type in _LINEAR_BY_A_CONSTANT and not together and not divides:
        return None
    return call.node.label


def _met(call: Call) -> View:
    """The view of the result: dimensions of one number are stretched to the other's."""
    views = [view for view in call.views if view is not None]
    rank = max(len(view.dims) for view in views)
    rows = [("",) * (rank - len(view.dims)) + view.dims for view in views]
    met = tuple(max(column, key=len) for column in zip(*rows, strict=True))
    if any(
        dim not in ("", together) for row in rows for dim, together in zip(row, met, strict=True)
    ):
        call.refuse("it joins numbers of different cells or channels")
    if len({(view.root, view.cells) for view in views}) > 1:
        call.refuse("it joins answers of different maps")
    extents = type(views[0].extents)(*np.max([view.extents for view in views], axis=0).tolist())
    return replace(views[0], dims=met, extents=extents)


def normalised(call: Call) -> View:
    """BatchNormalization over the channels: the same node; over flattened cells what it owes."""
    view = call.only
    if view.owed or len(view.dims) < 2 or view.dims[1] not in ("c", ""):
        return normalising(call)
    names = [view.map, *call.node.inputs[1:]]
    return replace(view, map=call.graft.copy(call.node.proto, names))


def joined(call: Call) -> View:
    """Concat along the channels, of views of the same cells."""
    first = call.view
    axis = call.node.attributes["axis"] % len(first.dims)
    views = [view for view in call.views if view is not None]
    if len(views) < len(call.views):
        call.refuse("it joins the map's cells with something that is no part of the image")
    others = {
        (view.root, view.cells, view.dims[:axis] + view.dims[axis + 1 :], view.extents[2:])
        for view in views
    }
    if len(others) > 1:
        call.refuse("it joins answers of different maps")
    if any(view.dims[axis] not in ("c", "") for view in views) or "c" in "".join(
        first.dims[:axis] + first.dims[axis + 1 :]
    ):
        call.refuse("it joins along something else than channels")
    made = call.graft.node("Concat", [view.map for view in views], call.stem, axis=1)
    dims = (*first.dims[:axis], "c", *first.dims[axis + 1 :])
    joined = first.with_channels(sum(view.extents.c for view in views), dims, made)
    return replace(joined, bent=next((view.bent for view in views if view.bent), None))
