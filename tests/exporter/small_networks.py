"""Networks as ONNX text with seeded weights: each takes some sizes only, for its own reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnx.parser

MAPS = "float[N,2,P,Q] y"

# name -> (outputs, nodes, the shapes of their weights)
NETWORKS: dict[str, tuple[str, str, dict[str, tuple[int, ...]]]] = {
    # Each 4x2 patch by itself: no halo at all, and another step for each axis.
    "patches": (
        MAPS,
        """cells = Conv <kernel_shape=[4,2], strides=[4,2]> (image, w1)
        painted = ConvTranspose <kernel_shape=[4,2], strides=[4,2]> (cells, w2)
        same = Conv <kernel_shape=[1,1]> (image, w3)
        y = Add (painted, same)""",
        {"w1": (8, 3, 4, 2), "w2": (8, 2, 4, 2), "w3": (2, 3, 1, 1)},
    ),
    # A U-Net of one level without padding: 12 + 2k pixels give 2 + 2k, the first for pixel 5.
    "valid": (
        MAPS,
        """skip = Conv <kernel_shape=[3,3]> (image, w1)
        half = MaxPool <kernel_shape=[2,2], strides=[2,2]> (skip)
        below = Conv <kernel_shape=[3,3]> (half, w2)
        up = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (below, w3)
        two = Constant <value_ints=[2,2]> ()
        less_two = Constant <value_ints=[-2,-2]> ()
        sides = Constant <value_ints=[2,3]> ()
        middle = Slice (skip, two, less_two, sides)
        both = Concat <axis=1> (middle, up)
        joined = Conv <kernel_shape=[3,3]> (both, w4)
        y = Conv <kernel_shape=[3,3]> (joined, w5)""",
        {
            "w1": (4, 3, 3, 3),
            "w2": (4, 4, 3, 3),
            "w3": (4, 4, 2, 2),
            "w4": (2, 8, 3, 3),
            "w5": (2, 2, 3, 3),
        },
    ),
    # Takes 5 pixels at least, and gives 4 fewer.
    "shrinking": (
        MAPS,
        "y = Conv <kernel_shape=[5,5]> (image, w1)",
        {"w1": (2, 3, 5, 5)},
    ),
    # As many patches, with a border of 3 pixels that it makes up.
    "growing": (
        MAPS,
        """cells = Conv <kernel_shape=[4,4], strides=[4,4]> (image, w1)
        painted = ConvTranspose <kernel_shape=[4,4], strides=[4,4]> (cells, w2)
        same = Conv <kernel_shape=[1,1]> (image, w3)
        both = Add (painted, same)
        y = Conv <kernel_shape=[3,3], pads=[4,4,4,4]> (both, w4)""",
        {"w1": (8, 3, 4, 4), "w2": (8, 2, 4, 4), "w3": (2, 3, 1, 1), "w4": (2, 2, 3, 3)},
    ),
    # Shrinks and grows again, so it needs 12 pixels, in steps of 4, and gives as many.
    "unpadded": (
        MAPS,
        """cells = AveragePool <kernel_shape=[4,4], strides=[4,4]> (image)
        fewer = Conv <kernel_shape=[3,3]> (cells, w1)
        as_many = ConvTranspose <kernel_shape=[3,3]> (fewer, w2)
        painted = ConvTranspose <kernel_shape=[4,4], strides=[4,4]> (as_many, w3)
        same = Conv <kernel_shape=[1,1]> (image, w4)
        y = Add (painted, same)""",
        {"w1": (4, 3, 3, 3), "w2": (4, 4, 3, 3), "w3": (4, 2, 4, 4), "w4": (2, 3, 1, 1)},
    ),
    # Three maps of different strides.
    "pyramid": (
        "float[N,5,A,B] eighth, float[N,4,C,D] half, float[N,1,E,F] full",
        """first = Conv <kernel_shape=[2,2], strides=[2,2]> (image, w1)
        eighth = Conv <kernel_shape=[4,4], strides=[4,4]> (first, w2)
        back = ConvTranspose <kernel_shape=[4,4], strides=[4,4]> (eighth, w3)
        half = Add (first, back)
        full = DepthToSpace <blocksize=2> (half)""",
        {"w1": (4, 3, 2, 2), "w2": (5, 4, 4, 4), "w3": (5, 4, 4, 4)},
    ),
    # A map, and one answer for the whole image.
    "two": (
        "float[N,2,P,Q] y, float[N,2] score",
        """cells = Conv <kernel_shape=[2,2], strides=[2,2]> (image, w1)
        painted = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (cells, w2)
        same = Conv <kernel_shape=[1,1]> (image, w3)
        y = Add (painted, same)
        mean = GlobalAveragePool (y)
        score = Flatten (mean)""",
        {"w1": (4, 3, 2, 2), "w2": (4, 2, 2, 2), "w3": (2, 3, 1, 1)},
    ),
    # A map of 16x16, whatever goes in.
    "baked": (
        "float[N,2,16,16] y",
        """cells = Conv <kernel_shape=[2,2], strides=[2,2]> (image, w1)
        painted = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (cells, w2)
        same = Conv <kernel_shape=[1,1]> (image, w3)
        map = Add (painted, same)
        size = Constant <value_ints=[1,2,16,16]> ()
        y = Resize <mode="nearest"> (map, , , size)""",
        {"w1": (4, 3, 2, 2), "w2": (4, 2, 2, 2), "w3": (2, 3, 1, 1)},
    ),
    # A stem that rounds up: 3, 7, 11, ... pixels and 4, 8, 12, ... give 2, 4, 6, ... cells.
    "stem": (
        MAPS,
        """half = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, w1)
        quarter = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (half, w2)
        up = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (quarter, w3)
        y = Add (half, up)""",
        {"w1": (2, 3, 3, 3), "w2": (4, 2, 3, 3), "w3": (4, 2, 2, 2)},
    ),
}


def network(name: str) -> Any:
    """The graph of this name, of opset 13."""
    outputs, nodes, weights = NETWORKS[name]
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3,H,W] image) => ({outputs}) {{ {nodes} }}"""
    )
    random = np.random.default_rng(0)
    for weight, shape in weights.items():
        values = random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        tensor = onnx.numpy_helper.from_array(values.astype(np.float32), weight)
        model.graph.initializer.append(tensor)
    return model
