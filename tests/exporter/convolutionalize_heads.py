"""Heads of classifiers as torch, Keras (by tf2onnx) and Paddle (by paddle2onnx) write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from tests.exporter.convolutionalize_graphs import (
    CELLS,
    CHANNELS,
    MAP,
    Array,
    classifier_of,
    whole,
)


@dataclass(frozen=True)
class Tail:
    """One way to write a head; `opset` is of the exporter that does."""

    name: str
    text: str
    weights: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, Array] = field(default_factory=dict)
    opset: int = 17
    output: str = "float[N,K] out"
    image: str = "float[N,3,11,13] image"
    channels_last: bool = False
    body: str | None = None

    def __str__(self) -> str:
        return self.name

    def model(self) -> onnx.ModelProto:
        """The classifier."""
        more = {"body": self.body} if self.body else {}
        return classifier_of(
            self.text,
            self.weights,
            constants=self.constants,
            opset=self.opset,
            output=self.output,
            image=self.image,
            **more,
        )


HIDDEN = 7
FROM_MAP, FROM_CHANNELS = {"w1": (CELLS, 5)}, {"w1": (CHANNELS, 5)}
TWO = {"w1": (HIDDEN, CELLS), "b1": (HIDDEN,), "w2": (5, HIDDEN), "b2": (5,)}
TF_BODY = """
    nchw = Transpose <perm=[0,3,1,2]> (image)
    raw = Conv <kernel_shape=[3,3], strides=[2,2]> (nchw, stem)
    map = Relu (raw)
"""
PADDLE_FLATTEN = """
    shape = Shape (map)
    first = Slice (shape, zero, one, zero)
    target = Concat <axis=0> (first, minus)
    flat = Reshape (map, target)
"""
PADDLE_CONSTANTS = {"zero": whole(0), "one": whole(1), "minus": whole(-1)}
TF_SHAPE = """
    shape = Shape (nhwc)
    first = Slice (shape, zero, one, zero)
    target = Concat <axis=0> (first, minus)
    flat = Reshape (nhwc, target)
"""

FLATTENING = (
    Tail(
        "torch script: Flatten, Gemm transB, Relu, Dropout, Gemm",
        """flat = Flatten (map) h = Gemm <transB=1> (flat, w1, b1) r = Relu (h)
        d = Dropout (r) out = Gemm <transB=1, alpha=1.0, beta=1.0> (d, w2, b2)""",
        TWO,
    ),
    Tail(
        "torch dynamo: Reshape to a constant that holds the batch",
        "flat = Reshape <allowzero=1> (map, target) out = Gemm <transB=1> (flat, w1)",
        {"w1": (5, CELLS)},
        {"target": whole(1, CELLS)},
        image="float[1,3,11,13] image",
        output="float[1,5] out",
        opset=20,
    ),
    Tail(
        "Gemm with alpha and beta, a bias of one row, and weights not transposed",
        "flat = Flatten (map) out = Gemm <alpha=0.5, beta=2.0> (flat, w1, b1)",
        {"w1": (CELLS, 5), "b1": (1, 5)},
    ),
    Tail(
        "Gemm of a transposed map",
        """flat = Flatten (map) turned = Transpose <perm=[1,0]> (flat)
        out = Gemm <transA=1> (turned, w1)""",
        FROM_MAP,
    ),
    Tail(
        "Keras by tf2onnx: NHWC image, Transpose, Reshape of a computed shape, MatMul, Add",
        f"""nhwc = Transpose <perm=[0,2,3,1]> (map) {TF_SHAPE}
        m = MatMul (flat, w1) h = Add (m, b1) r = Relu (h)
        m2 = MatMul (r, w2) logits = Add (m2, b2) out = Softmax <axis=-1> (logits)""",
        {"w1": (CELLS, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 5), "b2": (5,)},
        PADDLE_CONSTANTS,
        opset=13,
        body=TF_BODY,
        image="float[N,11,13,3] image",
        channels_last=True,
    ),
    Tail(
        "Keras by tf2onnx with folded constants: Reshape [-1, cells], opset 11",
        """nhwc = Transpose <perm=[0,2,3,1]> (map) flat = Reshape (nhwc, target)
        m = MatMul (flat, w1) logits = Add (b1, m) out = Softmax <axis=1> (logits)""",
        {"w1": (CELLS, 5), "b1": (5,)},
        {"target": whole(-1, CELLS)},
        opset=11,
    ),
    Tail(
        "Paddle: flatten_contiguous_range as Shape, Slice, Concat, Reshape; MatMul, Add",
        f"{PADDLE_FLATTEN} m = MatMul (flat, w1) l = Add (m, b1) out = Softmax <axis=1> (l)",
        {"w1": (CELLS, 5), "b1": (5,)},
        PADDLE_CONSTANTS,
        opset=11,
    ),
    Tail(
        "rows before channels: (n, c, h, w) to (n, h, c, w), flattened",
        """t = Transpose <perm=[0,2,1,3]> (map) flat = Flatten (t) out = MatMul (flat, w1)""",
        FROM_MAP,
    ),
    Tail(
        "a matrix that is computed from a weight",
        "flat = Flatten (map) w = Transpose <perm=[1,0]> (w1) out = MatMul (flat, w)",
        {"w1": (5, CELLS)},
    ),
    Tail(
        "activations, a channel's own scale and batch norm between",
        """s = Mul (map, channels) flat = Flatten (s) c = Clip (flat, low, high)
        h = Gemm (c, w1, b1) n = BatchNormalization (h, g, b, m, v) a = HardSwish (n)
        p = PRelu (a, slope) out = Gemm (p, w2, b2)""",
        {"w1": (CELLS, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 5), "b2": (5,)},
        {
            "channels": np.linspace(0.5, 2, CHANNELS, dtype=np.float32).reshape(CHANNELS, 1, 1),
            "low": np.array(0.01, np.float32),
            "high": np.array(6, np.float32),
            "g": np.linspace(0.5, 1.5, HIDDEN, dtype=np.float32),
            "b": np.linspace(-1, 1, HIDDEN, dtype=np.float32),
            "m": np.linspace(1, -1, HIDDEN, dtype=np.float32),
            "v": np.linspace(0.5, 2, HIDDEN, dtype=np.float32),
            "slope": np.linspace(0.1, 0.3, HIDDEN, dtype=np.float32),
        },
    ),
    Tail(
        "layer norm, a skip around a layer, and log softmax",
        """flat = Flatten (map) h = Gemm (flat, w1, b1)
        n = LayerNormalization <axis=-1> (h, g, b) r = Relu (n) k = MatMul (r, w2)
        s = Add (k, n) l = MatMul (s, w3) out = LogSoftmax <axis=1> (l)""",
        {"w1": (CELLS, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, HIDDEN), "w3": (HIDDEN, 5)},
        {
            "g": np.linspace(0.5, 1.5, HIDDEN, dtype=np.float32),
            "b": np.linspace(-1, 1, HIDDEN, dtype=np.float32),
        },
    ),
    Tail(
        "an embedding of length one",
        """flat = Flatten (map) h = MatMul (flat, w1) n = ReduceL2 <axes=[1]> (h)
        out = Div (h, n)""",
        FROM_MAP,
    ),
    Tail(
        "LpNormalization, after a Squeeze of what an Unsqueeze added",
        """flat = Flatten (map) u = Unsqueeze (flat, one) h = MatMul (u, w1)
        s = Squeeze (h, one) out = LpNormalization <axis=1> (s)""",
        FROM_MAP,
        {"one": whole(1)},
    ),
    Tail(
        "a convolution over the whole map, then 1x1 and a Flatten",
        """h = Conv <kernel_shape=[5,6]> (map, k1, b1) r = Relu (h)
        o = Conv <kernel_shape=[1,1]> (r, k2) out = Flatten (o)""",
        {"k1": (HIDDEN, CHANNELS, *MAP), "b1": (HIDDEN,), "k2": (5, HIDDEN, 1, 1)},
    ),
    Tail(
        "Keras: a batch norm of the flattened NHWC map, folded to Mul and Add, then a layer",
        """nhwc = Transpose <perm=[0,2,3,1]> (map) flat = Reshape (nhwc, target)
        s = Mul (flat, gain) a = Add (b0, s) t = Sub (a, one) d = Div (t, two)
        m = MatMul (d, w1) h = Add (m, b1) r = Relu (h) out = MatMul (r, w2)""",
        {
            "gain": (CELLS,),
            "b0": (CELLS,),
            "w1": (CELLS, HIDDEN),
            "b1": (HIDDEN,),
            "w2": (HIDDEN, 5),
        },
        {
            "target": whole(-1, CELLS),
            "one": np.array([1], np.float32),
            "two": np.array(2, np.float32),
        },
    ),
    Tail(
        "torch: BatchNorm1d of the flattened map, subtracted from a table, then a layer",
        """flat = Flatten (map) n = BatchNormalization <epsilon=0.01> (flat, g, b, m, v)
        k = Dropout (n) s = Sub (table, k) out = Gemm <transB=1> (s, w1, b1)""",
        {
            "g": (CELLS,),
            "b": (CELLS,),
            "m": (CELLS,),
            "table": (1, CELLS),
            "w1": (5, CELLS),
            "b1": (5,),
        },
        {"v": np.linspace(0.5, 2, CELLS, dtype=np.float32)},
    ),
    Tail(
        "one class, by a vector",
        "flat = Flatten (map) m = MatMul (flat, w1) out = Sigmoid (m)",
        {"w1": (CELLS,)},
        output="float[N] out",
    ),
)
AVERAGING = (
    Tail(
        "torch script: GlobalAveragePool, Flatten, Gemm",
        "p = GlobalAveragePool (map) flat = Flatten (p) out = Gemm <transB=1> (flat, w1, b1)",
        {"w1": (5, CHANNELS), "b1": (5,)},
    ),
    Tail(
        "torch dynamo: ReduceMean that keeps its axes, Reshape",
        """p = ReduceMean <keepdims=1> (map, axes) flat = Reshape <allowzero=1> (p, target)
        out = Gemm <transB=1> (flat, w1)""",
        {"w1": (5, CHANNELS)},
        {"axes": whole(-1, -2), "target": whole(1, CHANNELS)},
        image="float[1,3,11,13] image",
        output="float[1,5] out",
        opset=18,
    ),
    Tail(
        "SqueezeNet: the layer as a convolution before the pool, and a Reshape last",
        """scores = Conv <kernel_shape=[1,1]> (map, k1) r = Relu (scores)
        p = ReduceMean <axes=[2,3]> (r) out = Reshape (p, target)""",
        {"k1": (5, CHANNELS, 1, 1)},
        {"target": whole(1, 5)},
        image="float[1,3,11,13] image",
        output="float[1,5] out",
    ),
    Tail(
        "ReduceMean over one axis after the other",
        """a = ReduceMean <axes=[3], keepdims=0> (map) p = ReduceMean <axes=[2], keepdims=0> (a)
        out = MatMul (p, w1)""",
        FROM_CHANNELS,
    ),
    Tail(
        "Keras: ReduceMean over the middle of NHWC",
        """nhwc = Transpose <perm=[0,2,3,1]> (map)
        p = ReduceMean <axes=[1,2], keepdims=0> (nhwc) m = MatMul (p, w1) out = Add (m, b1)""",
        {"w1": (CHANNELS, 5), "b1": (5,)},
        opset=11,
    ),
    Tail(
        "timm: flattened cells, averaged",
        """t = Reshape (map, target) p = ReduceMean <axes=[2], keepdims=0> (t)
        out = MatMul (p, w1)""",
        FROM_CHANNELS,
        {"target": whole(0, 0, -1)},
    ),
    Tail(
        "an AveragePool of the whole map, and its Dropout",
        """p = AveragePool <kernel_shape=[5,6], strides=[5,6]> (map) d = Dropout (p)
        flat = Flatten (d) out = Gemm (flat, w1)""",
        FROM_CHANNELS,
    ),
    Tail(
        "an AveragePool of the whole map, and the layer as a convolution",
        """p = AveragePool <kernel_shape=[5,6]> (map) o = Conv (p, k1)
        q = Squeeze (o, axes) out = Identity (q)""",
        {"k1": (5, CHANNELS, 1, 1)},
        {"axes": whole(2, 3)},
    ),
    Tail(
        "a sum, divided by the number of cells that the graph computes",
        """s = ReduceSum <keepdims=0> (map, axes) shape = Shape <start=2> (map)
        count = ReduceProd <keepdims=0> (shape) number = Cast <to=1> (count)
        p = Div (s, number) out = MatMul (p, w1)""",
        FROM_CHANNELS,
        {"axes": whole(2, 3)},
    ),
    Tail(
        "the first of the one cell that a pool leaves, picked",
        """p = GlobalAveragePool (map) g = Gather <axis=3> (p, zero) f = Gather <axis=2> (g, zero)
        out = MatMul (f, w1)""",
        FROM_CHANNELS,
        {"zero": np.array(0, np.int64)},
    ),
    Tail(
        "torch dynamo's as_strided: a Gather of all in order",
        """p = ReduceMean <axes=[2,3]> (map) v = Reshape (p, minus) s = Gather <axis=0> (v, order)
        flat = Flatten (s) out = Gemm (flat, w1)""",
        FROM_CHANNELS,
        {"minus": whole(-1), "order": np.arange(CHANNELS).reshape(1, CHANNELS, 1, 1)},
        image="float[1,3,11,13] image",
        output="float[1,5] out",
    ),
)
OTHER_POOLS = (
    Tail(
        "GlobalMaxPool",
        "p = GlobalMaxPool (map) flat = Flatten (p) out = Gemm (flat, w1)",
        FROM_CHANNELS,
    ),
    Tail(
        "the mean and the maximum, joined",
        """p = GlobalAveragePool (map) q = GlobalMaxPool (map) j = Concat <axis=1> (p, q)
        flat = Flatten (j) out = Gemm (flat, w1)""",
        {"w1": (2 * CHANNELS, 5)},
    ),
    Tail(
        "ReduceMax",
        "p = ReduceMax <axes=[2,3], keepdims=0> (map) out = MatMul (p, w1)",
        FROM_CHANNELS,
    ),
)
