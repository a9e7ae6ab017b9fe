"""Fully connected layers: a convolution whose kernel is the window that they look at.

A weight over a flattened window knows, by the view, which channel and cell each of its rows is for:
behind NHWC the row of channel c at (y, x) is (y * k_w + x) * C + c, behind NCHW
(c * k_h + y) * k_w + x. Put in the order (out, c, y, x) it is the convolution's kernel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.rewrite.convolutionalize.call import Call
from anyres_exporter.rewrite.convolutionalize.refusal import at
from anyres_exporter.rewrite.convolutionalize.view import View, ordered

Matrix = NDArray[Any]


def gemm(call: Call) -> View:
    """alpha * A @ B + beta * C, where A is the view."""
    view, attributes = call.only, call.node.attributes
    if attributes.get("transA", 0):
        view = view.arranged(reversed(view.dims))
    weights = call.value(1) * _as(call.value(1), attributes.get("alpha", 1.0))
    if attributes.get("transB", 0):
        weights = weights.T
    bias = None
    if call.given(2) and attributes.get("beta", 1.0):
        bias = _bias(call, weights) * _as(weights, attributes.get("beta", 1.0))
    return _convolution(call, view, weights, bias)


def multiplied(call: Call) -> View:
    """MatMul of the view with a matrix or a vector."""
    if call.views[0] is None:
        call.refuse("its weights stand before the map; expected them behind it")
    weights = call.value(1)
    while weights.ndim > 2 and weights.shape[0] == 1:
        weights = weights[0]
    if weights.ndim > 2:
        call.refuse("its weights are not one matrix")
    if weights.ndim == 1:
        made = _convolution(call, call.only, weights[:, np.newaxis], None)
        return made.arranged(made.dims[:-1])
    return _convolution(call, call.only, weights, None)


def convolved(call: Call) -> View:
    """A convolution behind the pool: of one cell, or of the whole window."""
    view, (out, _, *kernel) = call.only, call.source.tensors[call.node.inputs[1]].shape
    attributes = call.node.attributes
    whole = tuple(kernel) == view.extents[2:]
    plain = len(view.dims) == 4 and all(
        dim in ("", axis) for dim, axis in zip(view.dims, "nchw", strict=True)
    )
    padded = any(attributes.get("pads", ())) or b"SAME" in attributes.get("auto_pad", b"")
    if not plain or padded or not (whole or set(kernel) == {1}):
        call.refuse("it is neither a 1x1 convolution nor one over the whole window")
    if set(kernel) == {1} and not whole and set(attributes.get("strides", (1,))) != {1}:
        call.refuse("it leaves out cells of the window")
    names = [view.map, *call.node.inputs[1:]]
    made = call.graft.node(
        "Conv", names, call.stem, kernel_shape=kernel, group=attributes.get("group", 1)
    )
    if whole:
        rows, columns = (n - k + 1 for n, k in zip(view.cells, kernel, strict=True))
        view = view.shrunk("hw", made, (rows, columns))
    dims = (view.dims[0], "c", *view.dims[2:])
    return view.with_channels(out, dims, made)


def _convolution(call: Call, view: View, weights: Matrix, bias: Matrix | None) -> View:
    """`weights` is (in, out) over the view's last dimension."""
    if weights.dtype not in (np.float32, np.float64):
        call.refuse(f"its weights are {weights.dtype}; convert the float32 model")
    seen = view.dims[-1]
    left = "".join(view.dims[:-1])
    if "n" in seen:
        call.refuse("it contracts the images of a batch")
    if "c" in left:
        call.refuse("it contracts cells and keeps the channels apart")
    extents = [view.extents.of(axis) for axis in seen]
    inputs, out = weights.shape
    if inputs != view.extents.of(seen):
        call.refuse(f"its weights take {inputs} values, and {view.extents.of(seen)} are there")
    kernel = ordered(weights.T.reshape(out, *extents), f"n{seen}")
    if view.owed:
        kernel, bias = _paid(call, view, kernel, bias)
    names = [view.map, call.graft.constant(kernel, _stem(call, 1))]
    if bias is not None:
        names.append(call.graft.constant(bias, _stem(call, 2) if call.given(2) else call.stem))
    taps = kernel.shape[2:]
    made = call.graft.node("Conv", names, call.stem, kernel_shape=taps)
    rows, columns = view.cells
    contracted = "".join(axis for axis in seen if axis in "hw")
    cells = rows - taps[0] + 1, columns - taps[1] + 1
    view = replace(view.shrunk(contracted, made, cells), owed=None)
    return view.with_channels(out, (*view.dims[:-1], "c"), made)


def _paid(call: Call, view: View, kernel: Matrix, bias: Matrix | None) -> tuple[Matrix, Matrix]:
    """The kernel and the bias with what the view owes taken in."""
    assert view.owed is not None, "the caller has looked"
    if kernel.shape[1:] != view.extents[1:]:
        raise at(
            view.owed.node, "it has numbers of its own for every cell, and no layer takes them"
        )
    exact = kernel.astype(np.float64)
    shift = (exact * view.owed.shift).sum((1, 2, 3)) + (0 if bias is None else bias)
    return (exact * view.owed.scale).astype(kernel.dtype), shift.astype(kernel.dtype)


def _bias(call: Call, weights: Matrix) -> Matrix:
    if call.source.sees_pixels(call.node.inputs[2]):
        call.refuse("its bias depends on the image")
    bias, out = call.value(2), weights.shape[1]
    rows = np.broadcast_to(bias, (*((1,) if bias.ndim < 2 else bias.shape[:1]), out))
    if (rows != rows[:1]).any():
        call.refuse("its bias is not the same for every image of a batch")
    return np.ascontiguousarray(rows[0])


def _as(like: Matrix, number: float) -> Any:
    return like.dtype.type(number)


def _stem(call: Call, index: int) -> str:
    return f"{call.node.inputs[index]}.kernel" if index == 1 else call.node.inputs[index]
