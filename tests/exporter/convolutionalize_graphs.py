"""Small classifiers as different exporters write them, and the classifier slid by brute force.

The body is a convolution of stride 2 without padding, so that nothing reaches across the border of
a patch. An image of 11x13 (h, w) gives a map of 4 channels and 5x6 cells, not square and with no
two numbers alike, so that no order of flattening is mistaken for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]

SIZE, STRIDE, CHANNELS, MAP = (11, 13), 2, 4, (5, 6)
CELLS = CHANNELS * MAP[0] * MAP[1]
LARGER = (19, 21)  # a grid of 5x5 answers
BODY = "raw = Conv <kernel_shape=[3,3], strides=[2,2]> (image, stem) map = Relu (raw)"


def classifier_of(
    tail: str,
    weights: Shapes,
    *,
    body: str = BODY,
    image: str = "float[N,3,11,13] image",
    output: str = "float[N,K] out",
    opset: int = 17,
    constants: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """A model of this body and tail, in ONNX's text form, with seeded weights."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net ({image}) => ({output}) {{ {body} {tail} }}"""
    )
    random = np.random.default_rng(0)
    for name, shape in {"stem": (CHANNELS, 3, 3, 3), **weights}.items():
        values = random.standard_normal(shape) / math.sqrt(math.prod(shape) / min(shape))
        add(model, name, values.astype(np.float32))
    for name, value in (constants or {}).items():
        add(model, name, value)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def add(model: onnx.ModelProto, name: str, value: Array) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def whole(*numbers: int) -> Array:
    """A constant that steers."""
    return np.array(numbers, np.int64)


def picture(height: int, width: int, *, channels_last: bool = False, count: int = 1) -> Array:
    """Seeded noise in the model's layout."""
    random = np.random.default_rng((height, width))
    made = random.standard_normal((count, 3, height, width)).astype(np.float32)
    return np.ascontiguousarray(made.transpose(0, 2, 3, 1)) if channels_last else made


def answer(model: onnx.ModelProto, image: Array, output: str | None = None) -> Array:
    """What ONNX's reference evaluator says."""
    wanted = [output] if output else None
    (found, *_) = ReferenceEvaluator(model).run(wanted, {model.graph.input[0].name: image})
    return np.asarray(found)


def slid(
    model: onnx.ModelProto,
    image: Array,
    *,
    size: tuple[int, int] = SIZE,
    stride: int = STRIDE,
    channels_last: bool = False,
    output: str | None = None,
) -> Array:
    """The classifier on every patch of its native size, (n, classes, rows, columns)."""
    height, width = image.shape[1:3] if channels_last else image.shape[2:]
    rows, columns = ((n - own) // stride + 1 for n, own in zip((height, width), size, strict=True))
    evaluator = ReferenceEvaluator(model)
    grid = []
    for i, j in np.ndindex(rows, columns):
        y, x = slice(i * stride, i * stride + size[0]), slice(j * stride, j * stride + size[1])
        patch = image[:, y, x] if channels_last else image[:, :, y, x]
        (found, *_) = evaluator.run([output] if output else None, {"image": patch})
        grid.append(np.asarray(found).reshape(len(image), -1))
    return np.stack(grid, axis=-1).reshape(len(image), -1, rows, columns)


def far(told: Array, made: Array) -> float:
    """The largest difference, of the largest magnitude."""
    assert told.shape == made.shape, (told.shape, made.shape)
    return float(np.abs(told - made).max() / np.abs(told).max())
