"""Resize and Upsample: local where the factor is one constant number, a breaker where it is not.

A factor that follows from the image's size (`size=x.shape`), or coordinates that depend on it
(align_corners), make an output pixel's place in the image depend on how large the image is; no
tile can know that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from anyres_analyzer.field import reach
from anyres_analyzer.field.breaker import Effect, MadeFor
from anyres_analyzer.field.field import Field
from anyres_analyzer.field.propagation import Call

Origin = Callable[[Fraction], Fraction]


def _half_pixel(step: Fraction) -> Fraction:
    return (step - 1) / 2


# Where output 0 falls on the input, given the input pixels for each output.
_ORIGINS: Mapping[str, Origin] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel,
    "pytorch_half_pixel": _half_pixel,
    "asymmetric": lambda step: Fraction(0),
    "tf_half_pixel_for_nn": lambda step: step / 2,
}


def resized(call: Call) -> Field:
    """The field after Resize (any opset) or Upsample."""
    image = call.image
    if image.dim is None:
        return image
    coordinates = _text(call, "coordinate_transformation_mode", "half_pixel")
    if call.node.op_type == "Upsample" or call.opset == 10:
        coordinates = "asymmetric"  # before there was a choice
    if coordinates == "tf_crop_and_resize":
        reason = f"it resizes a region that its input gives ({coordinates})"
        return image.broken(call.node, reason, dim=image.dim)
    factor = _factor(call)
    if factor is None:
        return _size_dependent(call)
    if factor == 1:
        return image
    if factor.numerator > reach.MOST_PHASES:
        return image.endless(call.node, factor.numerator)
    if coordinates == "align_corners":
        return _aligned_corners(call, factor)
    origin = _ORIGINS[coordinates](1 / factor)
    return image.through(reach.resize(factor, origin, _taps(call, factor)), call.node)


def _aligned_corners(call: Call, factor: Fraction) -> Field:
    """Output `o` falls on o * (n - 1) / (factor * n - 1): between o / factor, where it begins, and
    1 - 1 / factor before, at the far end.
    """
    most = 1 - 1 / factor
    layer = reach.resize(factor, -max(most, Fraction(0)), _taps(call, factor), abs(most))
    reason = "its coordinates (align_corners) depend on the image's size"
    return _by_size(call, reason).through(layer, call.node)


def _size_dependent(call: Call) -> Field:
    """A factor that follows from the size: what it is at multiples of the strides, a pixel less or
    more at others.
    """
    image = call.image
    assert image.dim is not None, "the caller has looked"
    before, after = (
        [tensors[name].shape[image.dim] for tensors in call.samples]
        for name in (call.node.inputs[0], call.node.made[0])
    )
    if len(set(after)) == 1 < len(set(before)):
        reason = f"it makes {after[0]} of any size"
        made_for = MadeFor(call.source, call.axis, after[0])
        return image.broken(
            call.node, reason, dim=image.dim, effect=Effect.BAKED, made_for=made_for
        )
    near, far = (Fraction(n, o) for n, o in list(zip(after, before, strict=True))[:2])
    reason = "its factor depends on the image's size"
    if near != far:
        return image.broken(call.node, reason, dim=image.dim)
    origin = _half_pixel(1 / near) - 1
    layer = reach.resize(near, origin, _taps(call, near), Fraction(2))
    return _by_size(call, reason).through(layer, call.node)


def _by_size(call: Call, reason: str) -> Field:
    return call.image.broken(call.node, reason, dim=call.image.dim, effect=Effect.SIZE)


def _taps(call: Call, factor: Fraction) -> reach.Taps:
    """What is read for a point; where its place is no exact binary number, by any arithmetic."""
    taps = _chosen(call, factor)
    exact = factor.numerator & (factor.numerator - 1) == 0
    return taps if exact else reach.doubtful(taps)


def _chosen(call: Call, factor: Fraction) -> reach.Taps:
    mode = _text(call, "mode", "nearest")
    if factor < 1 and call.node.attributes.get("antialias", 0):
        return reach.wide_taps((2 if mode == "cubic" else 1) / factor)
    if mode != "nearest":
        return reach.cubic_taps if mode == "cubic" else reach.linear_taps
    if call.node.op_type == "Upsample" or call.opset == 10:
        return reach.floor_taps if factor > 1 else reach.linear_taps  # down, runtimes differ
    return _NEAREST[_text(call, "nearest_mode", "round_prefer_floor")]


_NEAREST: Mapping[str, reach.Taps] = {
    "floor": reach.floor_taps,
    "ceil": reach.ceil_taps,
    "round_prefer_floor": reach.half_down_taps,
    "round_prefer_ceil": reach.half_up_taps,
}


def _text(call: Call, name: str, default: str) -> str:
    value = call.node.attributes.get(name, default.encode())
    return str(value.decode())


def _factor(call: Call) -> Fraction | None:
    """The factor along the axis: the constant scale, or else the ratio of sizes where it is one."""
    assert call.image.dim is not None, "the caller has looked"
    scales = call.node.attributes.get("scales") or call.constant(_scales_input(call))
    if scales:
        return _exact(scales, call)
    factors = {
        Fraction(
            tensors[call.node.outputs[0]].shape[call.image.dim],
            tensors[call.node.inputs[0]].shape[call.image.dim],
        )
        for tensors in call.samples
    }
    return factors.pop() if len(factors) == 1 else None


def _scales_input(call: Call) -> int:
    """Resize of opset 10 and Upsample of 9 have (image, scales); later roi stands between."""
    return 1 if call.node.op_type == "Upsample" or call.opset == 10 else 2


def _exact(scales: Sequence[float], call: Call) -> Fraction | None:
    """The axis's scale, exact again after its trip through float32; None where it is no ratio."""
    axes = call.node.attributes.get("axes") or range(call.rank)
    by_position = dict(zip((axis % call.rank for axis in axes), scales, strict=True))
    scale = by_position.get(call.rank + (call.image.dim or 0), 1.0)
    ratio = Fraction(scale).limit_denominator(1000)
    return ratio if np.float32(float(ratio)) == np.float32(scale) else None
