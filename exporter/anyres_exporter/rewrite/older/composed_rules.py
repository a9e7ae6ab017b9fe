"""Operators that an older opset has not, as its definition composes them from others.

ONNX Runtime knows the compositions of LayerNormalization and Gelu again, and runs them as one.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from onnx import TensorProto

from anyres_exporter.rewrite.older.site import Site


def hard_swish(site: Site) -> None:
    """x * max(0, min(1, x / 6 + 1/2))."""
    image = site.node.input[0]
    gate = site.add("HardSigmoid", [image], "gate", alpha=1 / 6, beta=0.5)
    site.end("Mul", [image, gate])


def mish(site: Site) -> None:
    """x * tanh(softplus(x))."""
    image = site.node.input[0]
    gate = site.add("Tanh", [site.add("Softplus", [image], "softplus")], "gate")
    site.end("Mul", [image, gate])


def swish(site: Site) -> None:
    """x * sigmoid(alpha * x)."""
    image, alpha = site.node.input[0], site.attributes.get("alpha", 1.0)
    scaled = image if alpha == 1 else site.add("Mul", [image, site.like("alpha", alpha)], "scaled")
    site.end("Mul", [image, site.add("Sigmoid", [scaled], "gate")])


def gelu(site: Site) -> None:
    """x / 2 * (1 + erf(x / sqrt(2))), or with tanh(sqrt(2 / pi) * (x + 0.044715 x^3)) for erf."""
    image = site.node.input[0]
    if site.attributes.get("approximate", b"none") == b"tanh":
        cube = site.add("Pow", [image, site.like("three", 3)], "cube")
        bent = site.add("Mul", [cube, site.like("bend", 0.044715)], "bent")
        inner = site.add("Add", [image, bent], "inner")
        scaled = site.add("Mul", [inner, site.like("sqrt_2_by_pi", sqrt(2 / pi))], "scaled")
        curve = site.add("Tanh", [scaled], "curve")
    else:
        scaled = site.add("Div", [image, site.like("sqrt_2", sqrt(2))], "scaled")
        curve = site.add("Erf", [scaled], "curve")
    above = site.add("Add", [curve, site.like("one", 1)], "above_zero")
    twice = site.add("Mul", [image, above], "twice")
    site.end("Mul", [twice, site.like("half", 0.5)])


def layer_norm(site: Site) -> None:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, over the axes from `axis` on."""
    if any(site.node.output[1:]):
        site.refuse("its mean or deviation is used")
    axes = _axes_from(site)
    _refuse_half(site)
    mean = _mean(site, site.node.input[0], "mean", axes)
    centred = site.add("Sub", [site.node.input[0], mean], "centred")
    square = site.add("Pow", [centred, site.like("two", 2)], "square")
    unit = _normalised(site, centred, square, axes)
    _scaled_and_shifted(site, unit)


def rms_norm(site: Site) -> None:
    """x / sqrt(mean of squares + epsilon) * scale, over the axes from `axis` on."""
    _refuse_half(site)
    image = site.node.input[0]
    square = site.add("Pow", [image, site.like("two", 2)], "square")
    site.end("Mul", [_normalised(site, image, square, _axes_from(site)), site.node.input[1]])


def _normalised(site: Site, image: str, square: str, axes: list[int]) -> str:
    mean = _mean(site, square, "mean_square", axes)
    epsilon = site.like("epsilon", site.attributes.get("epsilon", 1e-5))
    deviation = site.add("Sqrt", [site.add("Add", [mean, epsilon], "variance")], "deviation")
    return site.add("Div", [image, deviation], "unit")


def _mean(site: Site, tensor: str, hint: str, axes: list[int]) -> str:
    if site.opset < 18:
        return site.add("ReduceMean", [tensor], hint, axes=axes)
    return site.add("ReduceMean", [tensor, site.number(f"{hint}_axes", axes)], hint)


def _scaled_and_shifted(site: Site, unit: str) -> None:
    if not site.has(2):
        return site.end("Mul", [unit, site.node.input[1]])
    scaled = site.add("Mul", [unit, site.node.input[1]], "scaled")
    return site.end("Add", [scaled, site.node.input[2]])


def _axes_from(site: Site) -> list[int]:
    rank = len(site.shape(0))
    return list(range(site.attributes.get("axis", -1) % rank - rank, 0))


def _refuse_half(site: Site) -> None:
    """Its definition computes in float32 there, and the composition would not."""
    if site.element_type(0) != TensorProto.FLOAT and site.attributes.get("stash_type", 1) == 1:
        site.refuse("its statistics are of another type than the image")


def group_norm(site: Site) -> None:
    """GroupNormalization before 21: an InstanceNormalization of groups, a scale a channel."""
    _refuse_half(site)
    image, scale, bias = site.node.input
    groups, rank = site.attributes["num_groups"], len(site.shape(0))
    channels = site.shape(1)[0]
    if channels is None:
        site.refuse("nothing is known of how many channels it has")
    rows = site.add("Reshape", [image, site.number("groups", [0, groups, -1])], "grouped")
    dtype = np.float32 if site.element_type(0) == TensorProto.FLOAT else np.float16
    ones, zeros = (
        site.number("ones", [1] * groups, dtype),
        site.number("zeros", [0] * groups, dtype),
    )
    epsilon = site.attributes.get("epsilon", 1e-5)
    norm = site.add("InstanceNormalization", [rows, ones, zeros], "normalised", epsilon=epsilon)
    unit = site.add("Reshape", [norm, site.add("Shape", [image], "shape")], "unit")
    column = site.number("column", [channels] + [1] * (rank - 2))
    scaled = site.add("Mul", [unit, site.add("Reshape", [scale, column], "scale")], "scaled")
    site.end("Add", [scaled, site.add("Reshape", [bias, column], "bias")])
