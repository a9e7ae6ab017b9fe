"""Convolutions, pools and transposed convolutions: windows that slide over the map."""

from __future__ import annotations

from anyres_analyzer.field import reach
from anyres_analyzer.field.breaker import Effect
from anyres_analyzer.field.field import Field
from anyres_analyzer.field.propagation import Call
from anyres_analyzer.graph.window import Window, window_of


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
    if not window.same:
        layer = reach.window(window.taps, window.stride, window.dilation, window.pad_before)
        return image.through(layer, call.node)
    most, least = (_before(window, n) for n in (1, window.stride))
    layer = reach.sliding(-most, window.extent - 1 - least, window.stride)
    if window.stride > 1:
        image = image.broken(
            call.node,
            "its SAME padding depends on the image's size",
            dim=image.dim,
            effect=Effect.SIZE,
        )
    return image.through(layer, call.node)


def _before(window: Window, size: int) -> int:
    """What SAME puts before an image of this size, with the odd one behind (UPPER) or before.

    Together (ceil(n / s) - 1) * s + extent - n, as in ONNX's Conv; n matters modulo s alone.
    """
    together = max(0, (-(-size // window.stride) - 1) * window.stride + window.extent - size)
    return together // 2 if window.same == "UPPER" else together - together // 2


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
    if given := call.node.attributes.get("output_shape"):
        reason = f"it makes {given[axis]} of any size"
        return image.broken(call.node, reason, dim=image.dim, effect=Effect.BAKED)
    if window.same:
        return image.broken(call.node, "its padding depends on the image's size", dim=image.dim)
    if window.stride > reach.MOST_PHASES:
        return image.endless(call.node, window.stride)
    layer = reach.transposed(window.taps, window.stride, window.dilation, window.pad_before)
    return image.through(layer, call.node)


def _spatial_axis(call: Call) -> int:
    """Which spatial axis of an (n, c, ...) operator the field lives on; negative for n and c."""
    dim, tensor = call.image.dim, call.tensor(0)
    return (dim or 0) + (len(tensor.shape) - 2 if tensor else 0)
