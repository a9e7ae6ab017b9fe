"""Foreign models on disk: ONNX text with seeded weights, and no card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnx.parser
import pytest

# name -> (input, outputs, nodes, the shapes of their weights)
NETWORKS: dict[str, tuple[str, str, str, dict[str, tuple[int, ...]]]] = {
    "unet": (
        "float[N,3,H,W] image",
        "float[N,2,P,Q] scores",
        """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (image, w1)
        d = Conv <kernel_shape=[2,2], strides=[2,2]> (a, w2)
        e = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (d, w3)
        u = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (e, w4)
        c = Concat <axis=1> (a, u)
        scores = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (c, w5)""",
        {
            "w1": (4, 3, 3, 3),
            "w2": (6, 4, 2, 2),
            "w3": (6, 6, 3, 3),
            "w4": (6, 4, 2, 2),
            "w5": (2, 8, 3, 3),
        },
    ),
    "lopsided": (
        "float[1,3,H,W] image",
        "float[1,2,P,Q] scores",
        """a = Conv <kernel_shape=[8,4], pads=[1,2,6,1]> (image, w1)
        scores = AveragePool <kernel_shape=[4,2], strides=[4,2]> (a)""",
        {"w1": (2, 3, 8, 4)},
    ),
    "valid": (
        "float[N,3,H,W] image",
        "float[N,2,P,Q] scores",
        "scores = Conv <kernel_shape=[5,3]> (image, w1)",
        {"w1": (2, 3, 5, 3)},
    ),
    "rounds_up": (
        "float[N,3,H,W] image",
        "float[N,2,P,Q] scores",
        """a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, w1)
        scores = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (a, w2)""",
        {"w1": (2, 3, 3, 3), "w2": (2, 2, 3, 3)},
    ),
    "twice": (
        "float[N,1,H,W] image",
        "float[N,1,P,Q] larger",
        "larger = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (image, w1)",
        {"w1": (1, 1, 2, 2)},
    ),
    "thrice": (
        "float[N,1,H,W] image",
        "float[N,1,P,Q] larger",
        """a = ConvTranspose <kernel_shape=[3,3], strides=[3,3]> (image, w1)
        larger = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (a, w2)""",
        {"w1": (1, 1, 3, 3), "w2": (1, 1, 3, 3)},
    ),
    "squeezed": (
        "float[N,3,H,W] image",
        "float[N,2,H,W] scores",
        """a = GlobalAveragePool (image)
        m = Mul (image, a)
        scores = Conv <kernel_shape=[1,1]> (m, w1)""",
        {"w1": (2, 3, 1, 1)},
    ),
    "rounds_up_squeezed": (
        "float[N,3,H,W] image",
        "float[N,2,P,Q] scores",
        """a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, w1)
        b = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (a, w2)
        p = GlobalAveragePool (b)
        scores = Mul (b, p)""",
        {"w1": (2, 3, 3, 3), "w2": (2, 2, 3, 3)},
    ),
    "head": (
        "float[N,3,H,W] image",
        "float[N,4] odds",
        """a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, w1)
        f = Flatten (a)
        g = Gemm (f, w2)
        odds = Softmax (g)""",
        {"w1": (2, 3, 3, 3), "w2": (32, 4)},
    ),
    "two": (
        "float[N,3,H,W] _0image",
        "float[N,2,P,Q] Scores, float[N,2,R,S] scores, float[N,2] class",
        """a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (_0image, w1)
        Scores = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (a, w2)
        scores = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (a, w3)
        p = GlobalAveragePool (a)
        class = Flatten (p)""",
        {"w1": (2, 3, 3, 3), "w2": (2, 2, 3, 3), "w3": (2, 2, 2, 2)},
    ),
    "flat": (
        "float[N,3,H,W] image",
        "float[N,3,W] brightest",
        "brightest = ReduceMax <axes=[2], keepdims=0> (image)",
        {},
    ),
    "bytes": (
        "uint8[N,H,W,3] image",
        "uint8[N,P,Q] classes, float[N,P,Q,2] scores",
        """f = Transpose <perm=[0,3,1,2]> (image)
        p = Cast <to=1> (f)
        s = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (p, w1)
        i = ArgMax <axis=1, keepdims=0> (s)
        classes = Cast <to=2> (i)
        scores = Transpose <perm=[0,2,3,1]> (s)""",
        {"w1": (2, 3, 3, 3)},
    ),
    "turned": (
        "float[N,3,4,4] image",
        "float[3,N,4,4] out",
        "out = Transpose <perm=[1,0,2,3]> (image)",
        {},
    ),
    "half": (
        "float16[N,3,H,W] image",
        "float16[N,3,H,W] out",
        "out = Relu (image)",
        {},
    ),
    "four": (
        "float[4,3,H,W] image",
        "float[4,3,H,W] out",
        "out = Relu (image)",
        {},
    ),
}


class SaveForeign(Protocol):
    def __call__(self, network: str, place: Path | None = None, **metadata: str) -> Path: ...


@pytest.fixture
def foreign(tmp_path: Path) -> SaveForeign:
    """`foreign("unet", key="value")` writes unet.onnx with this metadata."""

    def save(network: str, place: Path | None = None, **metadata: str) -> Path:
        path = place or tmp_path / f"{network}.onnx"
        model = made(network)
        onnx.helper.set_model_props(model, metadata)
        path.write_bytes(model.SerializeToString())
        return path

    return save


def made(network: str) -> Any:
    image, outputs, nodes, weights = NETWORKS[network]
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net ({image}) => ({outputs}) {{ {nodes} }}"""
    )
    random = np.random.default_rng(0)
    for name, shape in weights.items():
        values = random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float32), name)
        )
    return model
