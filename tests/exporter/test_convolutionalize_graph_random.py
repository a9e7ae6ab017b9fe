"""Random tails: any order of flattening, pool, chain and activation, against patches.

The order in which a map is laid flat is drawn as a permutation of rows, columns and channels, so
every one that an exporter could choose is among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.exporter.convolutionalize_graphs import (
    CHANNELS,
    MAP,
    Array,
    classifier_of,
    far,
    picture,
    slid,
    whole,
)

from anyres_exporter.rewrite.convolutionalize.convert import convert
from anyres_exporter.rewrite.convolutionalize.native import prove
from anyres_exporter.rewrite.convolutionalize.source import classifier
from anyres_exporter.runtime import Runtime

CELLS = CHANNELS * MAP[0] * MAP[1]
# Those that never make a whole layer nearly zero, where rounding is all that is left.
LIVELY = (
    *("Sigmoid", "Tanh", "Elu", "LeakyRelu", "Identity", "Dropout", "Softsign", "Erf", "Abs"),
    "Neg",
)
ACTIVATIONS = (*LIVELY, "Relu", "HardSwish", "Softplus", "HardSigmoid", "Gelu", "Mish")
FINAL = ("", "Softmax <axis=1>", "LogSoftmax <axis=-1>", "Sigmoid")


@dataclass(frozen=True)
class Layer:
    """A fully connected layer as an exporter writes it, and what follows it."""

    width: int
    gemm: bool
    transposed: bool
    biased: bool
    activation: str


layers = st.builds(
    Layer,
    width=st.integers(2, 6),
    gemm=st.booleans(),
    transposed=st.booleans(),
    biased=st.booleans(),
    activation=st.sampled_from(LIVELY),
)
# How the map becomes a vector, and how many numbers it then has.
flattened = st.permutations((1, 2, 3)).map(
    lambda order: (f"t = Transpose <perm={[0, *order]}> (map) flat = Reshape (t, rows)", CELLS)
)
pooled = st.sampled_from(
    [
        ("p = GlobalAveragePool (map) flat = Flatten (p)", CHANNELS),
        ("p = GlobalMaxPool (map) flat = Squeeze (p, sides)", CHANNELS),
        ("flat = ReduceMean <keepdims=0> (map, sides)", CHANNELS),
        ("p = AveragePool <kernel_shape=[5,6]> (map) flat = Reshape (p, rows)", CHANNELS),
        ("p = ReduceMax <keepdims=1> (map, sides) flat = Flatten (p)", CHANNELS),
    ]
)


def model_of(flat: tuple[str, int], before: str, chain: list[Layer], final: str) -> onnx.ModelProto:
    text, values = flat
    lines = [text.replace("(map", "(active"), f"active = {before} (map)"][::-1]
    weights: dict[str, tuple[int, ...]] = {}
    name = "flat"
    for index, layer in enumerate(chain):
        made, shape = f"h{index}", (values, layer.width)
        turned = layer.transposed and layer.gemm
        weights[f"w{index}"] = shape[::-1] if turned else shape
        weights[f"b{index}"] = (layer.width,)
        if layer.gemm:
            bias = f", b{index}" if layer.biased else ""
            lines.append(f"{made} = Gemm <transB={int(turned)}> ({name}, w{index}{bias})")
        elif layer.biased:
            lines.append(f"{made}m = MatMul ({name}, w{index}) {made} = Add ({made}m, b{index})")
        else:
            lines.append(f"{made} = MatMul ({name}, w{index})")
        name, values = f"{made}a", layer.width
        lines.append(f"{name} = {layer.activation} ({made})")
    lines.append(f"out = {final or 'Identity'} ({name})")
    constants: dict[str, Array] = {"rows": whole(0, -1), "sides": whole(2, 3)}
    return classifier_of(" ".join(lines), weights, constants=constants, opset=20)


@settings(max_examples=30, deadline=None)
@given(
    flat=st.one_of(flattened, pooled),
    before=st.sampled_from(ACTIVATIONS),
    chain=st.lists(layers, min_size=1, max_size=3),
    final=st.sampled_from(FINAL),
)
def test_any_tail_slides(
    flat: tuple[str, int], before: str, chain: list[Layer], final: str
) -> None:
    model = model_of(flat, before, chain, final)
    made = convert(classifier(model))
    image = picture(13, 17)
    dense = Runtime(made.model)(image)["out"]
    told = slid(model, image)
    assert np.abs(told).max() > 0
    assert far(told, dense) < 1e-5
    assert prove(made).max_rel_error < 1e-5
