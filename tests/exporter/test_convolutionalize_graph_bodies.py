"""What comes before the last map: sizes that an export baked, padding, squeeze-and-excite."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tests.exporter.convolutionalize_graphs import (
    BODY,
    CELLS,
    CHANNELS,
    LARGER,
    answer,
    classifier_of,
    far,
    picture,
    slid,
    whole,
)

from anyres_exporter.rewrite.convolutionalize.convert import Converted, convert
from anyres_exporter.rewrite.convolutionalize.native import prove
from anyres_exporter.rewrite.convolutionalize.patches import measure, middle, noises
from anyres_exporter.rewrite.convolutionalize.source import classifier
from anyres_exporter.runtime import Runtime

FLAT = "flat = Flatten (last) out = MatMul (flat, w1)"
AVERAGED = "p = GlobalAveragePool (last) flat = Flatten (p) out = MatMul (flat, w1)"
ONE_IMAGE, ONE_ANSWER = "float[1,3,11,13] image", "float[1,5] out"
SHUFFLE = """
    groups = Reshape (map, apart) turned = Transpose <perm=[0,2,1,3,4]> (groups)
    last = Reshape (turned, together)
"""
GATE = """
    s = GlobalAveragePool (map) v = Reshape (s, vector) g = MatMul (v, wg)
    k = Sigmoid (g) r = Reshape (k, column) last = Mul (map, r)
"""
PADDED = """
    raw = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, stem)
    last = Relu (raw)
"""


def shuffled() -> onnx.ModelProto:
    """ShuffleNet's, with the shapes of 5x6 cells in the file."""
    return classifier_of(
        f"{SHUFFLE} {FLAT}",
        {"w1": (CELLS, 5)},
        constants={"apart": whole(1, 2, 2, 5, 6), "together": whole(1, 4, 5, 6)},
        image=ONE_IMAGE,
        output=ONE_ANSWER,
    )


def gated() -> onnx.ModelProto:
    """Squeeze-and-excite with its layer as a MatMul, as Keras and SENet have it."""
    return classifier_of(
        f"{GATE} {AVERAGED}",
        {"wg": (CHANNELS, CHANNELS), "w1": (CHANNELS, 5)},
        constants={"vector": whole(1, CHANNELS), "column": whole(1, CHANNELS, 1, 1)},
        image=ONE_IMAGE,
        output=ONE_ANSWER,
    )


def padded() -> onnx.ModelProto:
    return classifier_of(FLAT, {"w1": (6 * 7 * CHANNELS, 5)}, body=PADDED)


def converted(model: onnx.ModelProto) -> Converted:
    made = convert(classifier(model))
    onnx.checker.check_model(made.model, full_check=True)
    prove(made)
    return made


def test_a_channel_shuffle_of_baked_shapes_is_opened() -> None:
    images = picture(*LARGER, count=2)
    dense = Runtime(converted(shuffled()).model)(images)["out"]
    for image, own in zip(images, dense, strict=True):
        assert far(slid(shuffled(), image[np.newaxis])[0], own) < 1e-5


def test_squeeze_and_excite_stays_and_answers_are_no_longer_the_patches() -> None:
    made = converted(gated())
    assert "GlobalAveragePool" in {node.op_type for node in made.model.graph.node}
    assert made.analysis.tiling.breakers
    patches = measure(made, noises(made), photographs=False)
    assert patches.max_rel_difference > 1e-3
    assert "'s' (GlobalAveragePool)" in patches.reasons[0]
    dense = Runtime(made.model)(picture(*LARGER, count=3))["out"]
    assert dense.shape == (3, 5, 5, 5)


def test_a_batch_that_cannot_be_opened_stays_pinned() -> None:
    """A table for two images of one batch; three cannot be added to it."""
    model = classifier_of(
        f"last = Add (map, table) {AVERAGED}",
        {"table": (2, CHANNELS, 1, 1), "w1": (CHANNELS, 5)},
        image="float[2,3,11,13] image",
        output="float[2,5] out",
    )
    made = converted(model)
    assert made.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    images = picture(*LARGER, count=2)
    assert far(slid(model, images), Runtime(made.model)(images)["out"]) < 1e-5
    assert measure(made, noises(made), photographs=False).max_rel_difference < 1e-5


def test_without_padding_every_cell_that_is_measured_is_equal_and_there_is_no_reason() -> None:
    made = converted(classifier_of(f"last = Identity (map) {FLAT}", {"w1": (CELLS, 5)}))
    patches = measure(made, noises(made), photographs=False)
    assert patches.reasons == ()
    assert patches.max_rel_difference < 1e-5
    assert patches.argmax_agreement == 1
    assert (patches.images, patches.cells, patches.of) == (2, 64, 2 * 8 * 8)


def test_what_padding_costs_is_measured_as_brute_force_does() -> None:
    made = converted(padded())
    image = picture(21, 23)
    patches = measure(made, [image], photographs=True)
    told, found = slid(padded(), image), Runtime(made.model)(image)["out"]
    rows, columns = told.shape[2:]
    difference = np.abs(told - found[:, :, :rows, :columns])
    assert (patches.cells, patches.of) == (36, 36)
    assert patches.max_abs_difference == pytest.approx(difference.max(), rel=1e-4)
    assert patches.mean_abs_difference == pytest.approx(difference.mean(), rel=1e-4)
    assert patches.max_rel_difference == pytest.approx(
        difference.max() / np.abs(told).max(), rel=1e-4
    )
    agree = told.argmax(1) == found[:, :, :rows, :columns].argmax(1)
    assert patches.argmax_agreement == pytest.approx(agree.mean())
    assert patches.max_rel_difference > 0.1


def test_the_reason_counts_the_pixels_beyond_the_patch() -> None:
    """A 3x3 convolution padded by one sees one pixel before the patch, and of 11 cells one after:
    the last of 6 rows begins at 2 * 5 - 1 and ends at 11, which is beyond row 10.
    """
    made = converted(padded())
    (reason,) = measure(made, noises(made), photographs=False).reasons
    assert "1 pixels left, 1 right, 1 above and 1 below its 13x11 patch" in reason
    assert "1 of 2 layers with windows pad, the first is 'raw' (Conv)" in reason


def test_patches_are_compared_at_most_so_many_and_evenly() -> None:
    made = converted(padded())
    images = [picture(25, 27), picture(25, 25), picture(23, 27)]
    patches = measure(made, images, photographs=True)
    assert (patches.images, patches.cells, patches.of) == (3, 64, 8 * 8 + 8 * 7 + 7 * 8)


def test_of_a_large_picture_the_middle_is_taken_and_of_a_small_one_nothing() -> None:
    made = converted(padded())
    rows, columns = middle((1011, 27), made) or (slice(0), slice(0))
    assert (rows, columns) == (slice(493, 518), slice(0, 27))
    assert middle((10, 500), made) is None


def test_layers_that_are_not_linear_behind_a_dropped_pool_are_told() -> None:
    model = classifier_of(
        """p = GlobalAveragePool (map) flat = Flatten (p) h = MatMul (flat, w1) r = Relu (h)
        logits = MatMul (r, w2) out = Softmax <axis=1> (logits)""",
        {"w1": (CHANNELS, 6), "w2": (6, 5)},
        body=BODY,
    )
    made = convert(classifier(model), pool="drop")
    assert made.answer.bent == "'r' (Relu)"
    assert made.answer.logits == "logits"
    prove(made)
    patches = measure(made, noises(made), photographs=False)
    (reason,) = patches.reasons
    assert "'r' (Relu) behind it is not linear" in reason
    assert patches.max_rel_difference > 1e-4


def test_a_cell_of_a_dropped_pool_is_the_tail_on_that_cell_alone() -> None:
    """By brute force: the classifier of a map of one cell is the classifier without its pool."""
    tail = "flat = Flatten (p) h = MatMul (flat, w1) r = Tanh (h) out = MatMul (r, w2)"
    weights = {"w1": (CHANNELS, 6), "w2": (6, 5)}
    model = classifier_of(f"p = GlobalAveragePool (map) {tail}", weights)
    alone = classifier_of(f"p = Identity (map) {tail}", weights, image="float[N,3,3,3] image")
    image = picture(*LARGER)
    dense = Runtime(convert(classifier(model), pool="drop").model)(image)["out"]
    assert far(slid(alone, image, size=(3, 3)), dense) < 1e-5


def test_bytes_with_their_channels_last_are_taken_as_they_come() -> None:
    model = classifier_of(
        f"last = Identity (map) {FLAT}",
        {"w1": (CELLS, 5)},
        body=f"numbers = Cast <to=1> (image) nchw = Transpose <perm=[0,3,1,2]> (numbers) "
        f"small = Div (nchw, most) {BODY.replace('(image', '(small')}",
        image="uint8[N,11,13,3] image",
        constants={"most": np.array(255, np.float32)},
    )
    made = converted(model)
    assert (made.analysis.input.dtype, made.analysis.input.layout) == ("uint8", "NHWC")
    assert measure(made, noises(made), photographs=False).max_rel_difference < 1e-5
    pixels = np.random.default_rng(0).integers(0, 256, (1, *LARGER, 3)).astype(np.uint8)
    dense = Runtime(made.model)(pixels)["out"]
    assert far(slid(model, pixels, channels_last=True), dense) < 1e-5


def test_an_infinite_answer_is_no_difference_where_both_are() -> None:
    """The second class is impossible: its logarithm is minus infinity, in both."""
    model = classifier_of(
        "flat = Flatten (map) m = MatMul (flat, w1) a = Add (m, never) out = LogSoftmax (a)",
        {"w1": (CELLS, 5)},
        constants={"never": np.array([0, -np.inf, 0, 0, 0], np.float32)},
    )
    made = converted(model)
    assert made.answer.logits == "a"
    assert measure(made, noises(made), photographs=False).max_rel_difference < 1e-5


def test_a_single_answer_is_the_same_whatever_the_pool() -> None:
    model = classifier_of(f"last = Identity (map) {FLAT}", {"w1": (CELLS, 5)})
    image = picture(11, 13)
    for pool in ("keep", "drop"):
        made = convert(classifier(model), pool=pool)
        assert not made.answer.dropped
        assert far(answer(model, image), Runtime(made.model)(image)["out"][:, :, 0, 0]) < 1e-5
