"""Convolutions, pools and transposed convolutions: windows that slide over the map."""

from __future__ import annotations

from anyres_analyzer.field import reach
from anyres_analyzer.field.field import Call, Field
from anyres_analyzer.graph.window import window_of


def windowed(call: Call) -> Field:
    """Convolutions and pools."""
    image, axis = call.image, _spatial_axis(call)
    if image.dim is None:
        return image
    if call.fields[0] is None:
        return image.broken(call.node, "its weights depend on the image")
    if axis < 0:
        return image.broken(call.node, "it contracts the axis as channels")
    if len(call.fields) > 1 and any(call.fields[1:]):
        return image.broken(call.node, "its weights depend on the image", dim=image.dim)
    weight = call.tensor(1)
    window = window_of(call.node, axis, weight.shape if weight else None)
    if window.same and window.stride > 1:
        return image.broken(
            call.node, "its SAME padding depends on the image's size", dim=image.dim
        )
    before = _same_padding(window.extent, window.same) if window.same else window.pad_before
    return image.through(reach.window(window.taps, window.stride, window.dilation, before))


def _same_padding(extent: int, mode: str) -> int:
    """What SAME puts before the image at stride 1: half of extent - 1; LOWER takes the odd one."""
    return (extent - 1) // 2 if mode == "UPPER" else extent // 2


def transposed(call: Call) -> Field:
    """Transposed convolutions."""
    image, axis = call.image, _spatial_axis(call)
    if image.dim is None:
        return image
    if call.fields[0] is None or any(call.fields[1:]):
        return image.broken(call.node, "its weights depend on the image")
    if axis < 0:
        return image.broken(call.node, "it contracts the axis as channels")
    weight = call.tensor(1)
    window = window_of(call.node, axis, weight.shape if weight else None)
    if window.same or call.node.attributes.get("output_shape"):
        return image.broken(call.node, "its padding depends on the image's size", dim=image.dim)
    return image.through(
        reach.transposed(window.taps, window.stride, window.dilation, window.pad_before)
    )


def _spatial_axis(call: Call) -> int:
    """Which spatial axis of an (n, c, ...) operator the field lives on; negative for n and c."""
    dim, tensor = call.image.dim, call.tensor(0)
    return (dim or 0) + (len(tensor.shape) - 2 if tensor else 0)
