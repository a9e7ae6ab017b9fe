"""Operators along the channels of an answer: softmax, the highest class, norms.

Where one of them means the last dimension, or all from one on (softmax before opset 13), the map is
turned to NHWC and back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from anyres_exporter.rewrite.convolutionalize.call import Call
from anyres_exporter.rewrite.convolutionalize.pointwise_rules import bent
from anyres_exporter.rewrite.convolutionalize.view import View

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def soft_over_channels(call: Call) -> View:
    """Softmax, LogSoftmax and Hardmax: over one axis, before opset 13 over all from it on."""
    view, old = call.only, call.opset < 13
    first = call.node.attributes.get("axis", 1 if old else -1) % len(view.dims)
    _refuse_cells(call, "".join(view.dims[first:] if old else view.dims[first : first + 1]))
    if old:
        return _channels_last(call, view, [], axis=3)
    return _made(call, view, _copied(call, view, [], axis=1))


def normalised_over_channels(call: Call) -> View:
    """LpNormalization: over one axis."""
    view = call.only
    axis = call.node.attributes.get("axis", -1) % len(view.dims)
    _refuse_cells(call, view.dims[axis])
    return _made(call, view, _copied(call, view, [], axis=1))


def layer_normalised(call: Call) -> View:
    """LayerNormalization over the last dimensions, where these are the channels."""
    view = call.only
    first = call.node.attributes.get("axis", -1) % len(view.dims)
    _refuse_cells(call, "".join(view.dims[first:]))
    constants = [
        call.graft.constant(call.value(index).reshape(-1), name)
        for index, name in enumerate(call.node.inputs)
        if index and name
    ]
    return _channels_last(call, view, constants, axis=-1)


def highest(call: Call) -> View:
    """ArgMax and ArgMin over the channels; the map keeps its four dimensions."""
    view = call.only
    axis = call.node.attributes.get("axis", 0) % len(view.dims)
    _refuse_cells(call, view.dims[axis])
    made = _made(call, view, _copied(call, view, [], axis=1, keepdims=1))
    made = made.with_channels(1, made.dims, made.map)
    if call.node.attributes.get("keepdims", 1):
        return made
    return made.arranged(dim for index, dim in enumerate(made.dims) if index != axis)


def reduced_over_channels(call: Call, view: View, axes: str) -> View:
    """A reduction whose axes hold the channels alone; the map keeps its four dimensions."""
    _refuse_cells(call, axes)
    if "axes" in call.node.attributes or not call.given(1):
        by_input = call.opset >= (13 if call.node.op_type == "ReduceSum" else 18)
    else:
        by_input = True
    if by_input:
        constants = [call.graft.constant(np.array([1], np.int64), f"{call.stem}.axes")]
        made = _copied(call, view, constants, keepdims=1)
    else:
        made = _copied(call, view, [], axes=[1], keepdims=1)
    return _made(call, view, made).with_channels(1, view.dims, made)


def _refuse_cells(call: Call, axes: str) -> None:
    if axes != "c" * ("c" in axes) or (not axes and call.only.extents.c > 1):
        call.refuse("it is taken over something else than the channels of one answer")


def _made(call: Call, view: View, tensor: str) -> View:
    return replace(view, map=tensor, bent=bent(call, view))


def _copied(call: Call, view: View, constants: list[str], **attributes: int | list[int]) -> str:
    """The node on the map, with other attributes."""
    return call.graft.copy(_with(call.node.proto, attributes), [view.map, *constants])


def _channels_last(call: Call, view: View, constants: list[str], *, axis: int) -> View:
    graft, stem = call.graft, call.stem
    turned = graft.node("Transpose", [view.map], f"{stem}.nhwc", perm=_TO_NHWC)
    made = graft.copy(_with(call.node.proto, {"axis": axis}), [turned, *constants])
    back = graft.node("Transpose", [made], f"{stem}.nchw", perm=_TO_NCHW)
    return _made(call, view, back)


def _with(proto: onnx.NodeProto, attributes: dict[str, int | list[int]]) -> onnx.NodeProto:
    node = onnx.NodeProto()
    node.CopyFrom(proto)
    kept = [attribute for attribute in proto.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    for name, value in attributes.items():
        node.attribute.append(onnx.helper.make_attribute(name, value))
    return node
