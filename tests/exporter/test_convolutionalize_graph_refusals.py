"""What cannot be slid is refused, and the node that stands in the way is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from tests.exporter.convolutionalize_graphs import (
    BODY,
    CELLS,
    CHANNELS,
    Array,
    Shapes,
    classifier_of,
    whole,
)

from anyres_analyzer.errors import UnsupportedGraph
from anyres_exporter.rewrite.convolutionalize.convert import convert
from anyres_exporter.rewrite.convolutionalize.native import prove
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible
from anyres_exporter.rewrite.convolutionalize.source import classifier

TOKENS = "t = Reshape (map, target) x = Transpose <perm=[0,2,1]> (t)"
TARGET = {"target": whole(0, 0, -1)}
HEAD = "flat = Flatten (last) out = MatMul (flat, w1)"

REFUSED: dict[str, tuple[str, Shapes, dict[str, Array], str, str]] = {
    "attention": (
        f"""{TOKENS} q = MatMul (x, wq) k = Transpose <perm=[0,2,1]> (x)
        scores = MatMul (q, k) p = Softmax <axis=-1> (scores) y = MatMul (p, x)
        m = ReduceMean <axes=[1], keepdims=0> (y) out = MatMul (m, w1)""",
        {"wq": (CHANNELS, CHANNELS), "w1": (CHANNELS, 5)},
        TARGET,
        "'scores' (MatMul)",
        "attention",
    ),
    "a class token": (
        f"""{TOKENS} y = Concat <axis=1> (token, x) m = Gather <axis=1> (y, zero)
        out = MatMul (m, w1)""",
        {"token": (1, 1, CHANNELS), "w1": (CHANNELS, 5)},
        {**TARGET, "zero": np.array(0, np.int64)},
        "'y' (Concat)",
        "no part of the image",
    ),
    "a layer over cells that keeps channels apart": (
        """t = Reshape (map, target) y = MatMul (t, wq) last = Relu (y)
        flat = Flatten (last) out = MatMul (flat, w1)""",
        {"wq": (30, 3), "w1": (CHANNELS * 3, 5)},
        TARGET,
        "'y' (MatMul)",
        "keeps the channels apart",
    ),
    "numbers of its own for every cell of the flattened map": (
        "flat = Flatten (map) s = PRelu (flat, slopes) out = MatMul (s, w1)",
        {"slopes": (CELLS,), "w1": (CELLS, 5)},
        {},
        "'s' (PRelu)",
        "not the same at every cell",
    ),
    "a scale of its own for every cell that no layer takes": (
        """flat = Flatten (map) s = Mul (flat, slopes) r = Relu (s) out = MatMul (r, w1)""",
        {"slopes": (CELLS,), "w1": (CELLS, 5)},
        {},
        "'s' (Mul)",
        "no layer takes them",
    ),
    "a scale of its own for every cell that is pooled": (
        """s = Mul (map, table) t = Reshape (s, target) u = Mul (t, slopes)
        p = ReduceMean <axes=[2], keepdims=0> (u) out = MatMul (p, w1)""",
        {"table": (1, CHANNELS, 1, 1), "slopes": (1, 1, 30), "w1": (CHANNELS, 5)},
        TARGET,
        "'u' (Mul)",
        "no layer takes them",
    ),
    "a scale of its own for every cell of tokens": (
        f"""{TOKENS} s = Mul (x, slopes) y = MatMul (s, wq)
        m = ReduceMean <axes=[1], keepdims=0> (y) out = MatMul (m, w1)""",
        {"slopes": (1, 30, 1), "wq": (CHANNELS, 6), "w1": (6, 5)},
        TARGET,
        "'s' (Mul)",
        "no layer takes them",
    ),
    "softmax over cells": (
        "flat = Flatten (map) s = Softmax <axis=1> (flat) out = MatMul (s, w1)",
        {"w1": (CELLS, 5)},
        {},
        "'s' (Softmax)",
        "something else than the channels",
    ),
    "a reshape that mixes channels and cells": (
        "flat = Reshape (map, target) t = Transpose <perm=[0,2,1]> (flat) out = Flatten (t)",
        {},
        {"target": whole(0, 8, 15)},
        "'flat' (Reshape)",
        "no order of channels and cells",
    ),
    "an operator without a counterpart": (
        "flat = Flatten (map) s = CumSum (flat, one) out = MatMul (s, w1)",
        {"w1": (CELLS, 5)},
        {"one": np.array(1, np.int64)},
        "'s' (CumSum)",
        "no convolution stands for operator CumSum",
    ),
    "some of the cells": (
        "t = Reshape (map, target) g = Gather <axis=2> (t, few) flat = Flatten (g) "
        "out = MatMul (flat, w1)",
        {"w1": (CHANNELS * 2, 5)},
        {**TARGET, "few": whole(3, 7)},
        "'g' (Gather)",
        "some of the cells",
    ),
    "a norm over cells and channels": (
        "flat = Flatten (map) n = LayerNormalization <axis=-1> (flat, g) out = MatMul (n, w1)",
        {"g": (CELLS,), "w1": (CELLS, 5)},
        {},
        "'n' (LayerNormalization)",
        "something else than the channels",
    ),
    "a table of positions in the body": (
        f"last = Add (map, table) {HEAD}",
        {"table": (1, CHANNELS, 5, 6), "w1": (CELLS, 5)},
        {},
        "'last' (Add)",
        "it keeps H",
    ),
    "a size that the body interpolates to": (
        f'last = Resize <mode="linear"> (map, , , sizes) {HEAD}',
        {"w1": (CELLS, 5)},
        {"sizes": whole(1, CHANNELS, 5, 6)},
        "'last' (Resize)",
        "it keeps H",
    ),
    "answers of two different maps": (
        """small = MaxPool <kernel_shape=[2,2], strides=[2,2]> (map)
        a = GlobalAveragePool (map) b = GlobalAveragePool (small) j = Concat <axis=1> (a, b)
        flat = Flatten (j) out = MatMul (flat, w1)""",
        {"w1": (2 * CHANNELS, 5)},
        {},
        "'j' (Concat)",
        "answers of different maps",
    ),
    "rounded numbers": (
        """flat = Flatten (map) q = QuantizeLinear (flat, scale) d = DequantizeLinear (q, scale)
        out = MatMul (d, w1)""",
        {"w1": (CELLS, 5)},
        {"scale": np.array(0.1, np.float32)},
        "'q' (QuantizeLinear)",
        "convert the float32 model",
    ),
    "numbers of half precision": (
        """flat = Flatten (map) h = Cast <to=10> (flat) m = MatMul (h, half)
        out = Cast <to=1> (m)""",
        {},
        {"half": np.linspace(-1, 1, 5 * CELLS, dtype=np.float16).reshape(CELLS, 5)},
        "'m' (MatMul)",
        "its weights are float16; convert the float32 model",
    ),
    "the batch averaged": (
        "flat = Flatten (map) m = MatMul (flat, w1) out = ReduceMean <axes=[0]> (m)",
        {"w1": (CELLS, 5)},
        {},
        "'out' (ReduceMean)",
        "mixes the images of a batch",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_by_the_node_and_the_reason(case: str) -> None:
    text, weights, constants, node, reason = REFUSED[case]
    images = 2 if case == "the batch averaged" else 1
    image = f"float[{images},3,11,13] image"
    model = classifier_of(text, weights, constants=constants, image=image, output="float[1,5] out")
    with pytest.raises(NotConvertible, match=reason) as caught:
        convert(classifier(model))
    assert node in str(caught.value)
    assert caught.value.node == node


def test_a_maximum_cannot_be_dropped() -> None:
    model = classifier_of(
        "p = GlobalMaxPool (map) flat = Flatten (p) out = MatMul (flat, w1)", {"w1": (CHANNELS, 5)}
    )
    with pytest.raises(NotConvertible, match=r"'p' \(GlobalMaxPool\): only an average"):
        convert(classifier(model), pool="drop")


def test_a_map_is_no_classifier() -> None:
    model = classifier_of("out = Identity (map)", {}, output="float[N,4,5,6] out")
    with pytest.raises(NotConvertible, match="outputs are maps already"):
        convert(classifier(model))


def test_a_flattened_map_is_no_answer() -> None:
    model = classifier_of("out = Flatten (map)", {})
    with pytest.raises(NotConvertible, match="'out' is the last map laid flat"):
        convert(classifier(model))


def test_open_axes_need_the_size_that_it_was_trained_at() -> None:
    model = classifier_of(
        "flat = Flatten (map) out = MatMul (flat, w1)",
        {"w1": (CELLS, 5)},
        image="float[N,3,H,W] image",
    )
    with pytest.raises(NotConvertible, match="--size WxH"):
        classifier(model)
    assert convert(classifier(model, (11, 13))).answer.window == (5, 6)


def test_a_size_that_contradicts_the_file_is_refused() -> None:
    model = classifier_of("flat = Flatten (map) out = MatMul (flat, w1)", {"w1": (CELLS, 5)})
    with pytest.raises(NotConvertible, match="W is 13 in the file, and 14"):
        classifier(model, (11, 14))


def test_a_size_that_does_not_go_through_is_refused_by_its_node() -> None:
    model = classifier_of(
        "flat = Flatten (map) out = MatMul (flat, w1)",
        {"w1": (CELLS, 5)},
        image="float[N,3,H,W] image",
    )
    with pytest.raises(NotConvertible, match=r"19x11 does not go through it: node 'out'"):
        classifier(model, (11, 19))


def test_two_images_in_are_no_classifier() -> None:
    model = classifier_of(
        "flat = Flatten (map) out = MatMul (flat, w1)",
        {"w1": (CELLS, 5)},
        image="float[N,3,11,13] image, float[N,3,11,13] other",
    )
    with pytest.raises(UnsupportedGraph, match="exactly one input"):
        classifier(model)


def test_weights_that_are_not_the_classifiers_are_not_proven() -> None:
    """As if an order of flattening had been mistaken: two rows of the kernel change places."""
    model = classifier_of("flat = Flatten (map) out = MatMul (flat, w1)", {"w1": (CELLS, 5)})
    made = convert(classifier(model))
    wrong = onnx.ModelProto()
    wrong.CopyFrom(made.model)
    for tensor in wrong.graph.initializer:
        if tensor.dims[0] == 5:
            kernel = onnx.numpy_helper.to_array(tensor)[:, :, ::-1]
            tensor.CopyFrom(onnx.numpy_helper.from_array(kernel.copy(), tensor.name))
    with pytest.raises(NotConvertible, match="at 13x11 it differs from the classifier"):
        prove(replace(made, model=wrong))


def test_the_body_is_what_it_was() -> None:
    """Nothing before the last map is touched but what an export had baked."""
    model = classifier_of("flat = Flatten (map) out = MatMul (flat, w1)", {"w1": (CELLS, 5)})
    made = convert(classifier(model)).model
    assert [node.SerializeToString() for node in made.graph.node[:2]] == [
        node.SerializeToString() for node in model.graph.node[:2]
    ]
    assert BODY.count("=") > 2
