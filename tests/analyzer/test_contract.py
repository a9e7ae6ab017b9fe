"""Size contracts against ONNX Runtime: every size from 1 to 70 is really run."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    RuntimeException,
)

from anyres_analyzer import analyze
from anyres_proto.card import AxisContract

SIZES = range(1, 71)
W3 = "float[1,1,3,3] k3 = {1,1,1,1,1,1,1,1,1}"
W2 = "float[1,1,2,2] k2 = {1,1,1,1}"
TWO = "float[4] two = {1,1,2,2}"
DOWN = "<kernel_shape=[2,2], strides=[2,2]>"


def network(body: str, *weights: str, image: str = "N,1,H,W") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<{', '.join(weights)}> {{ {body} }}"
    )


def fully_connected(inputs: int) -> str:
    return f"float[{inputs},2] fc = {{{','.join('1' * 2 * inputs)}}}"


U_NET = network(
    f"""
    a = Conv <pads=[1,1,1,1]> (x, k3)
    b = MaxPool {DOWN} (a)
    c = MaxPool {DOWN} (b)
    d = Resize <mode="nearest"> (c, , two)
    e = Concat <axis=1> (b, d)
    f = Slice (e, zero, one, one)
    g = ConvTranspose <strides=[2,2]> (f, k2)
    [last_skip] y = Concat <axis=1> (a, g)
    """,
    W3,
    W2,
    TWO,
    "int64[1] zero = {0}",
    "int64[1] one = {1}",
)
# The stem rounds up, so sizes 3 and 4 (mod 4) go through: two residues.
ROUNDED_STEM = network(
    f"""
    a = Conv <strides=[2,2], pads=[1,1,1,1]> (x, k3)
    b = MaxPool {DOWN} (a)
    c = Resize <mode="nearest"> (b, , two)
    y = Add (a, c)
    """,
    W3,
    TWO,
)
VALID_U_NET = network(
    f"""
    a = Conv (x, k3)
    b = MaxPool {DOWN} (a)
    c = Conv (b, k3)
    d = ConvTranspose <strides=[2,2]> (c, k2)
    e = Slice (a, two2, minus2, axes)
    [skip] f = Concat <axis=1> (e, d)
    y = Relu (f)
    """,
    W3,
    W2,
    "int64[2] two2 = {2,2}",
    "int64[2] minus2 = {-2,-2}",
    "int64[2] axes = {2,3}",
)
FC_OVER_SPACE = network(
    f"a = MaxPool {DOWN} (x)\nb = MaxPool {DOWN} (a)\nc = Flatten (b)\n[fc6] y = Gemm (c, fc)",
    fully_connected(12),
    image="N,1,12,W",
)
ROWS_FOR_PIXELS = network(
    f"a = MaxPool {DOWN} (x)\n[view] b = Reshape (a, rows)\ny = Gemm (b, fc)",
    fully_connected(12),
    "int64[2] rows = {-1,12}",
    image="N,1,8,W",
)
AFTER_POOLING = network(
    "a = GlobalAveragePool (x)\nb = Flatten (a)\ny = Gemm (b, fc)", fully_connected(1)
)
PADDED_TO_STEP = network(
    f"""
    size = Shape <start=2> (x)
    gap = Sub (zero, size)
    after = Mod (gap, step)
    pads = Concat <axis=0> (none, after)
    p = Pad <mode="edge"> (x, pads, , axes)
    a = MaxPool {DOWN} (p)
    b = MaxPool {DOWN} (a)
    c = Resize <mode="nearest"> (b, , two)
    d = Add (a, c)
    e = ConvTranspose <strides=[2,2]> (d, k2)
    y = Slice (e, none, size, axes)
    """,
    W2,
    TWO,
    "int64[1] zero = {0}",
    "int64[1] step = {4}",
    "int64[2] none = {0,0}",
    "int64[2] axes = {2,3}",
)
EXACT = {
    "a padded convolution": network("y = Conv <pads=[1,1,1,1]> (x, k3)", W3),
    "a dilated convolution": network("y = Conv <dilations=[4,4]> (x, k3)", W3),
    "strides and pools": network(
        "a = Conv <strides=[2,2]> (x, k3)\n"
        "b = MaxPool <kernel_shape=[2,2], strides=[2,2], ceil_mode=1> (a)\n"
        "y = AveragePool <kernel_shape=[3,3], strides=[3,3], ceil_mode=1> (b)",
        W3,
    ),
    "a pool whose last window would begin in the padding": network(
        "a = MaxPool <kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1], ceil_mode=1> (x)\n"
        "b = MaxPool <kernel_shape=[1,1], strides=[3,3], ceil_mode=1> (a)\ny = Conv (b, k3)",
        W3,
    ),
    "mirrored padding": network(
        "a = MaxPool <kernel_shape=[2,2], strides=[2,2], ceil_mode=1> (x)\n"
        'b = Pad <mode="reflect"> (a, p)\ny = Conv (b, k3)',
        W3,
        "int64[8] p = {0,0,3,3,0,0,2,2}",
    ),
    "same padding": network('y = Conv <auto_pad="SAME_UPPER", strides=[2,2]> (x, k3)', W3),
    "a crop": network(
        "y = Slice (x, s, e, a)", "int64[1] s = {5}", "int64[1] e = {-6}", "int64[1] a = {3}"
    ),
    "a U-Net": U_NET,
    "a U-Net without padding": VALID_U_NET,
    "an FC layer over space": FC_OVER_SPACE,
    "pixels that become rows": ROWS_FOR_PIXELS,
    "global pooling before the FC layer": AFTER_POOLING,
    "a reshape to constant numbers": network(
        "a = Reshape (x, s)\ny = Relu (a)", "int64[3] s = {0,-1,96}", image="N,1,4,W"
    ),
    "padding to the step inside": PADDED_TO_STEP,
    "a depth to space": network(
        "a = SpaceToDepth <blocksize=2> (x)\ny = DepthToSpace <blocksize=2> (a)"
    ),
}
EXACT["a resize to a quarter, computed from the size"] = network(
    "s = Shape (x)\nt = Div (s, q)\ny = Resize (x, , , t)", "int64[4] q = {1,1,4,4}"
)
INEXACT = {
    # Maps of one pixel are stretched over any other at sizes 1 and 2.
    "a stem that rounds up": ROUNDED_STEM,
    # ONNX Runtime cuts a pool's window to a map that is too small for it; PyTorch refuses.
    "a pool": network("y = MaxPool <kernel_shape=[3,3], strides=[2,2]> (x)"),
    # A single pixel can be stretched to anything; nobody means that.
    "a constant table": network("y = Add (x, t)", f"float[1,1,1,9] t = {{{','.join('1' * 9)}}}"),
}


def taken(model: onnx.ModelProto, height: int) -> set[int]:
    """The widths that run and give one answer for each of two images."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)

    def runs(width: int) -> bool:
        try:
            output = session.run(None, {"x": np.ones((2, 1, height, width), np.float32)})[0]
        except (Fail, InvalidArgument, RuntimeException):
            return False
        return bool(output.shape[0] == 2 and output.size > 0)

    return {width for width in SIZES if runs(width)}


def admitted(model: onnx.ModelProto) -> tuple[set[int], int]:
    sizes = analyze(model).sizes
    height = next(n for n in range(24, 1, -1) if sizes.height.admits(n))
    return {n for n in SIZES if sizes.width.admits(n)}, height


@pytest.mark.parametrize("name", EXACT)
def test_exactly_the_sizes_that_run_are_admitted(name: str) -> None:
    sizes, height = admitted(EXACT[name])
    assert sizes == taken(EXACT[name], height)


@pytest.mark.parametrize("name", INEXACT)
def test_no_size_is_admitted_that_does_not_run(name: str) -> None:
    sizes, height = admitted(INEXACT[name])
    assert sizes
    assert sizes < taken(INEXACT[name], height)


def test_both_residues_of_a_stem_that_rounds_up_are_admitted() -> None:
    sizes, height = admitted(ROUNDED_STEM)
    assert sizes == taken(ROUNDED_STEM, height) - {1, 2}


def test_a_card_promises_the_progression_of_the_smallest_step() -> None:
    width = analyze(ROUNDED_STEM).sizes.width
    assert (width.minimum, width.step, width.expected()) == (4, 4, "4, 8, ... or 3, 7, ...")
    card = AxisContract.model_validate(width)
    assert [n for n in SIZES if card.admits(n)] == list(range(4, 71, 4))


def test_a_u_net_takes_multiples_of_its_deepest_stride_and_names_the_join() -> None:
    width = analyze(U_NET).sizes.width
    assert (width.verdict, width.minimum, width.step, width.maximum) == ("stepped", 4, 4, None)
    assert width.node is not None
    assert "Concat" in width.node
    assert "joins maps of different sizes" in width.reason


def test_a_u_net_without_padding_starts_at_its_minimum() -> None:
    """Worked by hand: 10 -> 8 -> 4 -> 2 -> 4, and 8 - 4 = 4; 8 leaves nothing to convolve."""
    width = analyze(VALID_U_NET).sizes.width
    assert (width.verdict, width.minimum, width.step) == ("stepped", 8, 2)


def test_an_fc_layer_over_space_takes_the_sizes_that_round_to_its_map() -> None:
    width = analyze(FC_OVER_SPACE).sizes.width
    assert (width.verdict, width.minimum, width.maximum, width.step) == ("fixed", 16, 19, 1)
    assert width.node == "'fc6' (Gemm)"
    assert "contract 12 values" in width.reason


def test_a_reshape_to_fixed_numbers_fixes_the_axis() -> None:
    model = network(
        f"a = AveragePool {DOWN} (x)\n[flatten] b = Reshape (a, s)\ny = Gemm (b, fc)",
        fully_connected(12),
        "int64[2] s = {1,12}",
        image="1,1,6,W",
    )
    width = analyze(model).sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("fixed", 8, 9)
    assert (width.node, width.reason) == (
        "'flatten' (Reshape)",
        "it makes [1, 12] out of 15 values",
    )


def test_pixels_must_not_become_rows_of_the_batch() -> None:
    width = analyze(ROWS_FOR_PIXELS).sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("fixed", 6, 7)
    assert width.node is not None


def test_a_table_of_positions_has_an_end() -> None:
    model = network(
        """
        s = Shape <start=3> (x)
        p = Slice (table, zero, s, three)
        [positions] y = Add (x, p)
        """,
        f"float[1,1,1,300] table = {{{','.join('1' * 300)}}}",
        "int64[1] zero = {0}",
        "int64[1] three = {3}",
    )
    width = analyze(model).sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("fixed", 1, 300)
    assert width.node == "'positions' (Add)"


def test_a_free_net_names_nobody() -> None:
    width = analyze(EXACT["a padded convolution"]).sizes.width
    assert (width.verdict, width.minimum, width.step, width.node) == ("free", 1, 1, None)


def test_a_minimum_is_explained_by_the_window_that_does_not_fit() -> None:
    width = analyze(EXACT["a dilated convolution"]).sizes.width
    assert (width.verdict, width.minimum) == ("free", 9)
    assert width.reason == "its window spans 9 pixels, padding included there are 8"


def test_a_transposed_convolution_that_crops_all_it_paints_is_too_small() -> None:
    """2 * (1 - 1) + 3 - 4 is less than nothing."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,1,H,W] x) => (float[1,1,V,U] y)
        <float[1,1,1,3] k = {1,1,1}> {
            y = ConvTranspose <strides=[1,2], pads=[0,2,0,2]> (x, k)
        }"""
    )
    assert analyze(model).sizes.width.minimum == 2


def test_padding_to_the_step_inside_makes_every_size_free() -> None:
    width = analyze(PADDED_TO_STEP).sizes.width
    assert (width.verdict, width.minimum, width.step) == ("free", 1, 1)


def test_a_pinned_classifier_names_its_head() -> None:
    model = network(
        "[pool] a = GlobalAveragePool (x)\nb = Flatten (a)\n[head] y = Gemm (b, fc)",
        fully_connected(1),
        image="N,1,224,224",
    )
    width = analyze(model).sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("fixed", 224, 224)
    assert width.node == "'head' (Gemm)"
    assert "'pool' (GlobalAveragePool)" in width.reason


def test_the_head_is_not_a_layer_that_only_weighs_channels() -> None:
    """Squeeze and excitation has fully connected layers too, but the map goes on."""
    model = network(
        """
        s = GlobalAveragePool (x)
        t = Flatten (s)
        [squeeze] u = Gemm (t, one)
        v = Reshape (u, back)
        z = Mul (x, v)
        [pool] a = GlobalAveragePool (z)
        b = Flatten (a)
        [head] y = Gemm (b, fc)
        """,
        fully_connected(1),
        "float[1,1] one = {1}",
        "int64[4] back = {-1,1,1,1}",
        image="N,1,32,32",
    )
    assert analyze(model).sizes.width.node == "'head' (Gemm)"


def test_a_dimension_declared_static_is_fixed_and_the_other_is_not() -> None:
    sizes = analyze(network("y = Relu (x)", image="N,1,48,W")).sizes
    assert (sizes.height.verdict, sizes.height.minimum, sizes.height.maximum) == ("fixed", 48, 48)
    assert (sizes.height.node, sizes.height.reason) == (None, "the input declares it")
    assert sizes.width.verdict == "free"


def test_each_axis_has_a_contract_of_its_own() -> None:
    pool = "MaxPool <kernel_shape=[1,2], strides=[1,2]>"
    body = f"a = {pool} (x)\nb = Resize (a, , wide)\ny = Add (x, b)"
    sizes = analyze(network(body, "float[4] wide = {1,1,1,2}")).sizes
    assert (sizes.height.verdict, sizes.width.verdict) == ("free", "stepped")


def test_an_operator_without_a_rule_makes_the_verdict_unknown() -> None:
    model = network('[odd] a = Einsum <equation="nchw->nchw"> (x)\ny = Conv (a, k3)', W3)
    width = analyze(model).sizes.width
    assert (width.verdict, width.minimum, width.step) == ("unknown", 3, 1)
    assert width.node == "'odd' (Einsum)"
    assert "no rule for operator Einsum" in width.reason


def test_an_operator_without_a_rule_beside_the_path_changes_nothing() -> None:
    model = network('y = Conv (x, k3)\nz = Einsum <equation="nchw->nhw"> (x)', W3)
    assert analyze(model).sizes.width.verdict == "free"


SQUARE_HEAD = network(
    f"""
    a = MaxPool {DOWN} (x)
    b = MaxPool {DOWN} (a)
    [flatten] c = Flatten (b)
    [head] y = Gemm (c, fc)
    """,
    fully_connected(64),
)
ROWS_HEAD = network(
    f"""
    a = MaxPool {DOWN} (x)
    b = MaxPool {DOWN} (a)
    [view] c = Reshape (b, rows)
    [head] y = Gemm (c, fc)
    """,
    fully_connected(64),
    "int64[2] rows = {-1,64}",
)
BAKED_RESIZE = network(
    f'a = MaxPool {DOWN} (x)\n[up] y = Resize <mode="linear"> (a, , , made)',
    "int64[4] made = {1,1,48,48}",
)
BAKED_POSITIONS = network(
    f"a = MaxPool {DOWN} (x)\n[pick] b = Gather <axis=3> (a, p)\ny = ReduceMean (b)",
    "int64[4] p = {0,3,6,9}",
)


def runs(model: onnx.ModelProto, height: int, width: int) -> tuple[int, ...]:
    session = ort.InferenceSession(model.SerializeToString())
    output = session.run(None, {"x": np.ones((1, 1, height, width), np.float32)})[0]
    return tuple(map(int, output.shape))


def test_an_fc_head_ties_height_to_width_and_takes_other_maps_in_silence() -> None:
    """Made for maps of 8x8; 4x16 has as many cells."""
    analysis = analyze(SQUARE_HEAD)
    for axis in (analysis.sizes.height, analysis.sizes.width):
        assert (axis.verdict, axis.minimum, axis.maximum) == ("fixed", 32, 35)
    joint = analysis.joint
    assert joint is not None
    assert (joint.node, joint.product, joint.map) == ("'flatten' (Flatten)", 64, (8, 8))
    assert joint.accepted == (16, 64)
    assert runs(SQUARE_HEAD, *joint.accepted) == (1, 2)
    assert not analysis.sizes.admits(*joint.accepted)


def test_each_kind_of_witness_is_shown_once() -> None:
    shown = {w.shows: (w.height, w.width) for w in analyze(SQUARE_HEAD).witnesses}
    assert shown == {"passes": (32, 32), "fails": (31, 32), "silently wrong": (16, 64)}
    with pytest.raises(InvalidArgument):
        runs(SQUARE_HEAD, *shown["fails"])


def test_rows_for_pixels_are_silently_wrong() -> None:
    (silent,) = (w for w in analyze(ROWS_HEAD).witnesses if w.shows == "silently wrong")
    assert "rows of the batch" in silent.why
    assert runs(ROWS_HEAD, silent.height, silent.width)[0] > 1


def test_an_axis_that_the_file_pins_ties_nothing() -> None:
    pinned = onnx.ModelProto()
    pinned.CopyFrom(SQUARE_HEAD)
    for dim in pinned.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 32
    analysis = analyze(pinned)
    assert analysis.joint is None
    assert [w.shows for w in analysis.witnesses] == ["passes", "fails"]


def test_a_resize_to_baked_numbers_is_unsafe_at_other_sizes() -> None:
    analysis = analyze(BAKED_RESIZE)
    width = analysis.sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("unsafe", 48, 48)
    assert width.node == "'up' (Resize)"
    assert width.reason.startswith("it makes 48 of any size")
    (silent,) = (w for w in analysis.witnesses if w.shows == "silently wrong")
    assert runs(BAKED_RESIZE, silent.height, silent.width) == (1, 1, 48, 48)


def test_baked_positions_are_right_at_the_sizes_of_their_map() -> None:
    """The last of them is 9, so the map had 10 cells: 20 or 21 pixels."""
    width = analyze(BAKED_POSITIONS).sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("unsafe", 20, 21)
    assert width.node == "'pick' (Gather)"


def test_positions_computed_from_the_size_are_not_known() -> None:
    model = network(
        """
        s = Shape <start=3, end=4> (x)
        n = Squeeze (s)
        r = Range (zero, n, two)
        [pick] y = Gather <axis=3> (x, r)
        """,
        "int64 zero = {0}",
        "int64 two = {2}",
    )
    width = analyze(model).sizes.width
    assert (width.verdict, width.node) == ("unknown", "'pick' (Gather)")


def test_a_pool_that_was_the_whole_map_is_unsafe_on_larger_ones() -> None:
    """Made for maps of 7 cells, 28 to 31 pixels; of 8 to 13 it reads the first 7."""
    model = network(
        f"""
        a = MaxPool {DOWN} (x)
        b = MaxPool {DOWN} (a)
        [pool] c = AveragePool <kernel_shape=[7,7], strides=[7,7]> (b)
        d = Flatten (c)
        y = Gemm (d, fc)
        """,
        fully_connected(1),
    )
    analysis = analyze(model)
    width = analysis.sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("unsafe", 28, 31)
    assert width.node == "'pool' (AveragePool)"
    (silent,) = (w for w in analysis.witnesses if w.shows == "silently wrong")
    assert max(silent.height, silent.width) == 32
    poked = np.zeros((2, 1, silent.height, silent.width), np.float32)
    poked[1, ..., 28:] = poked[1, ..., 28:, :] = 1000
    session = ort.InferenceSession(model.SerializeToString())
    quiet, loud = session.run(None, {"x": poked})[0]
    assert (quiet == loud).all(), "nobody reads the last pixels"


def test_a_transposed_convolution_to_a_given_shape_is_unsafe() -> None:
    """It takes every map that paints as much, and makes 40 cells of each."""
    model = network("[up] y = ConvTranspose <strides=[2,2], output_shape=[40,40]> (x, k3)", W3)
    width = analyze(model).sizes.width
    assert (width.verdict, width.minimum, width.node) == ("unsafe", 19, "'up' (ConvTranspose)")
    assert runs(model, 19, 50) == (1, 1, 40, 40)
    with pytest.raises((Fail, InvalidArgument, RuntimeException)):
        runs(model, 18, 20)


def test_halves_of_a_map_have_a_formula_of_their_own_period() -> None:
    model = network("a, b = Split <axis=3, num_outputs=2> (x)\ny = Relu (a)")
    analysis = analyze(model)
    for width in (61, 62):
        formula = analysis.formula(16, width)
        assert formula is not None
        assert formula.lattice.period[1] == 2
        assert formula.peak(16, width)[0] == analysis.cost(16, width).activation_bytes
