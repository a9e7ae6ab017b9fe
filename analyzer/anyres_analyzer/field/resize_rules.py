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
from anyres_analyzer.field.field import Call, Field

_LOCAL_COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric")


def resized(call: Call) -> Field:
    """The field after Resize (any opset) or Upsample."""
    image = call.image
    if image.dim is None:
        return image
    coordinates = _text(call, "coordinate_transformation_mode", "half_pixel")
    if call.node.op_type == "Upsample" or call.opset == 10:
        coordinates = "asymmetric"  # before there was a choice
    factor = _factor(call)
    if factor is None:
        return image.broken(call.node, "its factor depends on the image's size", dim=image.dim)
    if factor == 1:
        return image
    if coordinates not in _LOCAL_COORDINATES:
        return image.broken(
            call.node, f"its coordinates ({coordinates}) depend on the image's size", dim=image.dim
        )
    return image.through(reach.resize(factor, coordinates, _taps(call, factor)))


def _taps(call: Call, factor: Fraction) -> Callable[[int], reach.Taps]:
    mode = _text(call, "mode", "nearest")
    if factor < 1 and call.node.attributes.get("antialias", 0):
        return reach.wide_taps((2 if mode == "cubic" else 1) / factor)
    if mode != "nearest":
        return reach.cubic_taps if mode == "cubic" else reach.linear_taps
    if call.node.op_type == "Upsample" or call.opset == 10:
        return reach.floor_taps if factor > 1 else reach.linear_taps  # down, runtimes differ
    return _NEAREST[_text(call, "nearest_mode", "round_prefer_floor")]


_NEAREST: Mapping[str, Callable[[int], reach.Taps]] = {
    "floor": reach.floor_taps,
    "ceil": reach.ceil_taps,
    "round_prefer_floor": reach.round_taps,
    "round_prefer_ceil": reach.round_taps,
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
