"""Three graphs, as small as what they show; their weights are zeros, since only shapes matter."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

_TRUNK = """
    first = Conv <pads=[1,1,1,1]> (image, stem)
    half = MaxPool <kernel_shape=[2,2], strides=[2,2]> (first)
    second = Conv <pads=[1,1,1,1]> (half, deep)
    map = MaxPool <kernel_shape=[2,2], strides=[2,2]> (second)
"""
_HEAD = """
    flat = Flatten (map)
    logits = Gemm (flat, fc)
"""
_SLIDING_HEAD = "logits = Conv (map, window)"
_LEVELS = """
    a = Conv <pads=[1,1,1,1]> (image, stem)
    a2 = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a)
    b = Conv <pads=[1,1,1,1]> (a2, same)
    b2 = MaxPool <kernel_shape=[2,2], strides=[2,2]> (b)
    c = Conv <pads=[1,1,1,1]> (b2, same)
    c2 = MaxPool <kernel_shape=[2,2], strides=[2,2]> (c)
    d = Conv <pads=[1,1,1,1]> (c2, same)
    d1 = ConvTranspose <strides=[2,2]> (d, up)
    cd = Concat <axis=1> (c, d1)
    e = Conv <pads=[1,1,1,1]> (cd, merge)
    e1 = ConvTranspose <strides=[2,2]> (e, up)
    be = Concat <axis=1> (b, e1)
    f = Conv <pads=[1,1,1,1]> (be, merge)
    f1 = ConvTranspose <strides=[2,2]> (f, up)
    af = Concat <axis=1> (a, f1)
    logits = Conv <pads=[1,1,1,1]> (af, merge)
"""


def _graph(body: str, outputs: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> '
        f"net (float[n,1,h,w] image) => (float[{outputs}] logits) {{ {body} }}"
    )
    zeros = (numpy_helper.from_array(np.zeros(s, np.float32), name) for name, s in shapes.items())
    model.graph.initializer.extend(zeros)
    return model


_TRUNK_WEIGHTS = {"stem": (4, 1, 3, 3), "deep": (8, 4, 3, 3)}

CLASSIFIER = _graph(_TRUNK + _HEAD, "n,10", fc=(8 * 8 * 8, 10), **_TRUNK_WEIGHTS)
CONVOLUTIONAL = _graph(_TRUNK + _SLIDING_HEAD, "n,10,y,x", window=(10, 8, 8, 8), **_TRUNK_WEIGHTS)
UNET = _graph(
    _LEVELS,
    "n,4,h,w",
    stem=(4, 1, 3, 3),
    same=(4, 4, 3, 3),
    up=(4, 4, 2, 2),
    merge=(4, 8, 3, 3),
)
