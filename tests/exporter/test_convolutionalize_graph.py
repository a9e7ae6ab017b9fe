"""Any exporter's classifier slid over a larger image: dense answers against brute-force patches.

The oracle is ONNX's reference evaluator on the classifier as it was, one patch at a time; the
converted graph runs in ONNX Runtime.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import pytest
from tests.exporter.convolutionalize_graphs import (
    CELLS,
    CHANNELS,
    LARGER,
    MAP,
    SIZE,
    answer,
    classifier_of,
    far,
    picture,
    slid,
    whole,
)
from tests.exporter.convolutionalize_heads import (
    AVERAGING,
    FLATTENING,
    FROM_MAP,
    HIDDEN,
    OTHER_POOLS,
    Tail,
)

from anyres_exporter.rewrite.convolutionalize.convert import Converted, convert
from anyres_exporter.rewrite.convolutionalize.native import prove
from anyres_exporter.rewrite.convolutionalize.source import classifier
from anyres_exporter.runtime import Runtime

TOLERANCE = 1e-5


def converted(model: onnx.ModelProto, pool: Literal["keep", "drop"] = "keep") -> Converted:
    made = convert(classifier(model), pool=pool)
    onnx.checker.check_model(made.model, full_check=True)
    return made


@pytest.mark.parametrize("tail", [*FLATTENING, *AVERAGING, *OTHER_POOLS], ids=str)
def test_every_dense_answer_is_the_classifiers_on_its_patch(tail: Tail) -> None:
    model = tail.model()
    made = converted(model)
    image = picture(*LARGER, channels_last=tail.channels_last)
    dense = Runtime(made.model)(image)["out"]
    expected = slid(model, image, channels_last=tail.channels_last)
    assert dense.shape[2:] == (5, 5)
    assert far(expected, dense) < TOLERANCE
    assert prove(made).max_rel_error < TOLERANCE
    assert made.analysis.tiling.breakers == ()
    assert made.analysis.sizes.height.verdict == "free"
    assert made.analysis.sizes.height.minimum == SIZE[0]


@pytest.mark.parametrize("tail", AVERAGING, ids=str)
def test_with_the_average_dropped_the_mean_of_the_cells_is_the_classifiers_answer(
    tail: Tail,
) -> None:
    model = tail.model()
    made = converted(model, "drop")
    image = picture(*LARGER)
    dense = Runtime(made.model)(image)["out"]
    windows = np.lib.stride_tricks.sliding_window_view(dense, MAP, axis=(2, 3)).mean((-2, -1))
    assert far(slid(model, image), windows) < TOLERANCE
    assert prove(made).max_rel_error < TOLERANCE
    assert made.answer.bent is None
    assert made.analysis.sizes.height.minimum == 3  # what the one convolution needs


def test_fully_connected_layers_become_convolutions_and_no_node_of_the_tail_is_left() -> None:
    made = converted(FLATTENING[4].model())
    assert [node.op_type for node in made.model.graph.node] == [
        *("Transpose", "Conv", "Relu"),
        *("Conv", "Relu", "Conv", "Softmax"),
    ]
    kernels = {tensor.name: tuple(tensor.dims) for tensor in made.model.graph.initializer}
    assert (HIDDEN, CHANNELS, *MAP) in kernels.values()
    assert (5, HIDDEN, 1, 1) in kernels.values()


def test_several_images_at_once_are_taken_where_the_export_had_baked_one() -> None:
    model = FLATTENING[1].model()
    images = picture(*LARGER, count=3)
    dense = Runtime(converted(model).model)(images)["out"]
    for image, own in zip(images, dense, strict=True):
        assert far(slid(model, image[np.newaxis])[0], own) < TOLERANCE


def test_softmax_before_opset_13_is_taken_over_the_channels_alone() -> None:
    made = converted(FLATTENING[5].model())
    dense = Runtime(made.model)(picture(*LARGER))["out"]
    assert np.allclose(dense.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_the_class_with_the_highest_score_is_found_at_every_position(keepdims: int) -> None:
    output = "int64[N,1] out" if keepdims else "int64[N] out"
    model = classifier_of(
        f"""flat = Flatten (map) m = MatMul (flat, w1)
        out = ArgMax <axis=1, keepdims={keepdims}> (m)""",
        FROM_MAP,
        output=output,
    )
    made = converted(model)
    image = picture(*LARGER)
    dense = Runtime(made.model)(image)["out"]
    assert dense.dtype == np.int64
    assert (dense == slid(model, image)).all()
    assert len(np.unique(dense)) > 1
    prove(made)


def test_two_heads_on_one_map_keep_their_names() -> None:
    model = classifier_of(
        """flat = Flatten (map) logits = Gemm (flat, w1, b1) out = Softmax <axis=1> (logits)
        p = GlobalAveragePool (map) q = Flatten (p) age = MatMul (q, w2)""",
        {"w1": (CELLS, 5), "b1": (5,), "w2": (CHANNELS, 1)},
        output="float[N,5] out, float[N,5] logits, float[N,1] age",
    )
    made = converted(model)
    image = picture(*LARGER)
    dense = Runtime(made.model)(image)
    assert list(dense) == ["out", "logits", "age"]
    for name, found in dense.items():
        assert far(slid(model, image, output=name), found) < TOLERANCE
    prove(made)


SHARED = {
    "a sum that a product before its bias meets again": (
        "m = MatMul (flat, w1) s = Add (m, b1) out = Mul (s, m)",
        ("out",),
    ),
    "an output before its bias and one behind": (
        "bare = MatMul (flat, w1) out = Add (bare, b1)",
        ("out", "bare"),
    ),
    "one answer under two names": (
        "m = MatMul (flat, w1) own = Add (m, b1) out = Reshape (own, same)",
        ("out", "own"),
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_a_tensor_that_several_read_stays_what_it_was(case: str) -> None:
    text, outputs = SHARED[case]
    model = classifier_of(
        f"flat = Flatten (map) {text}",
        {"w1": (CELLS, 5), "b1": (5,)},
        output=", ".join(f"float[N,5] {name}" for name in outputs),
        constants={"same": whole(-1, 5)},
    )
    image = picture(*LARGER)
    dense = Runtime(converted(model).model)(image)
    for name in outputs:
        assert far(slid(model, image, output=name), dense[name]) < TOLERANCE


def test_a_network_over_the_flattened_image_itself_is_a_convolution_of_the_image() -> None:
    model = classifier_of(
        "flat = Flatten (image) h = Gemm (flat, w1) r = Relu (h) out = Gemm (r, w2)",
        {"w1": (3 * 11 * 13, 6), "w2": (6, 5)},
        body="",
    )
    image = picture(14, 15)
    dense = Runtime(converted(model).model)(image)["out"]
    assert far(slid(model, image, stride=1), dense) < TOLERANCE


def test_the_same_from_an_image_with_its_channels_last() -> None:
    model = classifier_of(
        "flat = Flatten (image) out = Gemm (flat, w1)",
        {"w1": (3 * 11 * 13, 5)},
        body="",
        image="float[N,11,13,3] image",
    )
    image = picture(14, 15, channels_last=True)
    dense = Runtime(converted(model).model)(image)["out"]
    assert far(slid(model, image, stride=1, channels_last=True), dense) < TOLERANCE


def test_a_map_beside_the_answer_stays_as_it_is() -> None:
    model = classifier_of(
        "flat = Flatten (map) out = Gemm (flat, w1)",
        FROM_MAP,
        output="float[N,5] out, float[N,4,5,6] map",
    )
    image = picture(*LARGER)
    dense = Runtime(converted(model).model)(image)
    assert far(slid(model, image), dense["out"]) < TOLERANCE
    body = classifier_of("", {}, image="float[N,3,H,W] image", output="float[N,4,P,Q] map")
    assert far(answer(body, image), dense["map"]) < TOLERANCE
