"""Resize and Upsample: local where the factor is one constant number, a breaker where it is not.

A factor that follows from the image's size (`size=x.shape`), or coordinates that depend on it
(align_corners), make an output pixel's place in the image depend on how large the image is; no
tile can know that.
"""

from __future__ import annotations

from fractions import Fraction

from anyres_analyzer import reach
from anyres_analyzer.field import Call, Field

_LOCAL_COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric")


def resized(call: Call) -> Field:
    """The field after Resize (any opset) or Upsample."""
    image = call.image
    if image.dim is None:
        return image
    coordinates = _text(call, "coordinate_transformation_mode", "half_pixel")
    if call.node.op_type == "Upsample" or len(call.node.inputs) == 2:
        coordinates = "asymmetric"  # Upsample, and Resize of opset 10
    factor = _factor(call)
    if factor is None:
        return image.broken(call.node, "its factor depends on the image's size", dim=image.dim)
    if factor == 1:
        return image
    if coordinates not in _LOCAL_COORDINATES:
        return image.broken(
            call.node, f"its coordinates ({coordinates}) depend on the image's size", dim=image.dim
        )
    mode = _text(call, "mode", "nearest")
    antialias = bool(call.node.attributes.get("antialias", 0))
    return image.through(reach.resize(factor, mode, coordinates, antialias=antialias))


def _text(call: Call, name: str, default: str) -> str:
    value = call.node.attributes.get(name, default.encode())
    return str(value.decode())


def _factor(call: Call) -> Fraction | None:
    """The factor along the axis: the constant scale, or else the ratio of sizes where it is one."""
    assert call.image.dim is not None, "the caller has looked"
    scale = _scale(call, call.image.dim)
    if scale is not None:
        return scale
    factors = {
        Fraction(
            tensors[call.node.outputs[0]].shape[call.image.dim],
            tensors[call.node.inputs[0]].shape[call.image.dim],
        )
        for tensors in (call.small, call.large)
    }
    return factors.pop() if len(factors) == 1 else None


def _scale(call: Call, dim: int) -> Fraction | None:
    """The `scales` input or attribute, exact again after its trip through float32."""
    scales = call.node.attributes.get("scales")
    if scales is None:
        position = 1 if len(call.node.inputs) == 2 else 2
        scales = call.constant(position)
    if not scales or "axes" in call.node.attributes:
        return None
    return Fraction(scales[dim]).limit_denominator(1000)
