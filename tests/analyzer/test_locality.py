"""Every kind of operator that ties a pixel to far ones is named, and its local sister is not."""

from __future__ import annotations

from fractions import Fraction

import onnx
import onnx.parser
import pytest

from anyres_analyzer import Analysis, analyze

WEIGHTS = {
    "ones": "float[4] ones = {1,1,1,1}",
    "two": "float[4] two = {1,1,2,2}",
    "hw": "int64[2] hw = {2,3}",
    "ch": "int64[1] ch = {1}",
    "w": "int64[1] w = {3}",
    "h": "int64[1] h = {2}",
    "last": "int64[1] last = {-1}",
    "least": "int64[1] least = {-1000000}",
    "channels": "int64[4] channels = {1,4,1,1}",
    "one": "int64[1] one = {1}",
    "zero": "int64[1] zero = {0}",
    "two_i": "int64[1] two_i = {2}",
    "many": "int64[1] many = {100}",
    "yes": "bool yes = {1}",
    "no": "bool no = {0}",
    "ratio": "float ratio = {0.5}",
    "ring": "int64[8] ring = {0,0,1,1,0,0,1,1}",
    "groups": "int64[4] groups = {0,2,2,-1}",
    "square": "int64[4] square = {-1,4,16,16}",
    "mix": "float[4,4] mix = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}",
    "rows16": f"float[16,16] rows16 = {{{','.join('1' * 256)}}}",
    "flat": f"float[1024,2] flat = {{{','.join('1' * 2048)}}}",
    "sq": "float[4,4,1,1] sq = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}",
    "k": f"float[4,1,3,3] k = {{{','.join('1' * 36)}}}",
    "grid_scale": "float[4] grid_scale = {1,1,3.14159,3.14159}",
    "sixteen": "int64[4] sixteen = {1,4,16,16}",
}


def analysed(body: str, opset: int = 18, image: str = "N,4,H,W") -> Analysis:
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    used = ", ".join(text for name, text in WEIGHTS.items() if name in words)
    return analyze(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : {opset}]> '
            f"net (float[{image}] x) => (float y) <{used}> {{ {body} }}"
        )
    )


BREAKERS = {
    "GlobalAveragePool": "a = GlobalAveragePool (x)\ny = Add (x, a)",
    "GlobalMaxPool": "a = GlobalMaxPool (x)\ny = Add (x, a)",
    "ReduceMean": "a = ReduceMean (x, hw)\ny = Add (x, a)",
    "ReduceMax": "y = ReduceMax <keepdims=0> (x, last)",
    "ReduceSum": "y = ReduceSum (x)",
    "ArgMax": "y = ArgMax <axis=3> (x)",
    "InstanceNormalization": "y = InstanceNormalization (x, ones, ones)",
    "GroupNormalization": "y = GroupNormalization <num_groups=2> (x, ones, ones)",
    "MeanVarianceNormalization": "y = MeanVarianceNormalization (x)",
    "LayerNormalization": "y = LayerNormalization <axis=1> (x, sixteen_scale)".replace(
        "sixteen_scale", "ratio"
    ),
    "LpNormalization": "y = LpNormalization <axis=2> (x)",
    "BatchNormalization": (
        "y, m, v = BatchNormalization <training_mode=1> (x, ones, ones, ones, ones)"
    ),
    "Dropout": "y = Dropout (x, ratio, yes)",
    "Softmax": "y = Softmax <axis=-1> (x)",
    "LogSoftmax": "y = LogSoftmax <axis=2> (x)",
    "Reshape": "a = Reshape (x, groups)\ny = Relu (a)",
    "MatMul": "a = Transpose <perm=[0,1,3,2]> (x)\ny = MatMul (x, a)",
    "TopK": "y, i = TopK <axis=3> (x, one)",
    "CumSum": "axis = Constant <value_int=3> ()\ny = CumSum (x, axis)",
    "GatherElements": "a = ArgMax <axis=3> (x)\ny = GatherElements <axis=3> (x, a)",
    "Gather": "y = Gather <axis=3> (x, zero)",
    "Concat": "y = Concat <axis=3> (x, x)",
    "Split": "y, z = Split <axis=3, num_outputs=2> (x)",
    "Pad": 'y = Pad <mode="wrap"> (x, ring)',
    "Resize": "s = Shape (x)\na = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)\n"
    'y = Resize <mode="linear"> (a, , , s)',
    "Slice": "y = Slice (x, last, many, w)",
    "Add": "s = Shape (x)\na = Range (z0, n, z1)\ny = Add (x, a)".replace(
        "a = Range (z0, n, z1)",
        "i = Constant <value_int=3> ()\nn = Gather (s, i)\nz0 = Constant <value_int=0> ()\n"
        "z1 = Constant <value_int=1> ()\nr = Range (z0, n, z1)\na = Cast <to=1> (r)",
    ),
    "Div": "s = Size (x)\nf = Cast <to=1> (s)\ny = Div (x, f)",
    "Conv": 'y = Conv <auto_pad="SAME_UPPER", strides=[2,2], group=4> (x, k)',
}
LOCAL = {
    "ReduceMean over channels": "y = ReduceMean (x, ch)",
    "ArgMax over channels": "y = ArgMax <axis=1> (x)",
    "LRN": "y = LRN <size=3> (x)",
    "LpNormalization over channels": "y = LpNormalization <axis=1> (x)",
    "MeanVarianceNormalization over channels": "y = MeanVarianceNormalization <axes=[1]> (x)",
    "BatchNormalization": "y = BatchNormalization (x, ones, ones, ones, ones)",
    "Dropout": "y = Dropout (x, ratio, no)",
    "Softmax over channels": "y = Softmax <axis=1> (x)",
    "LayerNormalization over channels last": (
        "a = Transpose <perm=[0,2,3,1]> (x)\nb = LayerNormalization (a, ones)\n"
        "y = Transpose <perm=[0,3,1,2]> (b)"
    ),
    "a channel mix by MatMul": (
        "a = Transpose <perm=[0,2,3,1]> (x)\nb = MatMul (a, mix)\n"
        "y = Transpose <perm=[0,3,1,2]> (b)"
    ),
    "a channel shuffle": "s = Shape (x)\n"
    "hw_ = Slice (s, two_i, many, zero)\nb = Constant <value_ints=[-1,2,2]> ()\n"
    "t = Concat <axis=0> (b, hw_)\na = Reshape (x, t)\nc = Transpose <perm=[0,2,1,3,4]> (a)\n"
    "y = Reshape (c, s)",
    "edge padding": 'y = Pad <mode="edge"> (x, ring)',
    "a fixed resize": "y = Resize (x, , two)",
    "a crop": "y = Slice (x, one, many2, w)".replace("many2", "many").replace("many", "last"),
    "a split of channels": "a, b = Split <axis=1, num_outputs=2> (x)\ny = Mul (a, b)",
    "Conv with SAME padding": 'y = Conv <auto_pad="SAME_LOWER", group=4> (x, k)',
    "a constant made by nodes": "s = Shape <start=1, end=2> (x)\nf = Cast <to=1> (s)\n"
    "y = Div (x, f)",
}


@pytest.mark.parametrize("operator", BREAKERS)
def test_a_breaker_is_named_with_its_operator(operator: str) -> None:
    analysis = analysed(BREAKERS[operator])
    assert None in (analysis.tiling.height, analysis.tiling.width)
    assert any(f"({operator})" in breaker for breaker in analysis.tiling.breakers)


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_operator_is_no_breaker(name: str) -> None:
    analysis = analysed(LOCAL[name])
    assert analysis.tiling.breakers == ()
    assert analysis.tiling.width is not None


def test_squeeze_and_excitation_breaks_locality_though_the_map_goes_on() -> None:
    analysis = analysed(
        "a = GlobalAveragePool (x)\nb = Conv (a, sq)\nc = Sigmoid (b)\ny = Mul (x, c)"
    )
    assert analysis.output.dense
    assert [b.split(" (")[1] for b in analysis.tiling.breakers] == [
        "GlobalAveragePool): it pools the whole axis into one value"
    ]


def test_flatten_before_a_matrix_breaks_at_the_flatten() -> None:
    analysis = analysed("a = Flatten (x)\ny = Gemm (a, flat)")
    assert not analysis.output.dense
    assert any("(Flatten)" in breaker for breaker in analysis.tiling.breakers)


def test_a_matrix_over_an_axis_breaks_that_axis_and_fixes_it() -> None:
    analysis = analysed("y = MatMul (x, rows16)")
    assert (analysis.sizes.width.verdict, analysis.sizes.width.minimum) == ("fixed", 16)
    assert analysis.sizes.height.verdict == "free"
    assert analysis.tiling.height is not None
    assert analysis.tiling.width is None


@pytest.mark.parametrize("coordinates", ["align_corners", "tf_crop_and_resize"])
def test_coordinates_that_depend_on_the_size_break_locality(coordinates: str) -> None:
    mode = f'mode="linear", coordinate_transformation_mode="{coordinates}"'
    roi = "roi = Constant <value_floats=[0.0,0.0,0.0,0.0,1.0,1.0,1.0,1.0]> ()\n"
    analysis = analysed(f"{roi}y = Resize <{mode}> (x, roi, two)")
    assert coordinates in analysis.tiling.breakers[0]


def test_a_scale_that_is_no_simple_ratio_breaks_locality() -> None:
    assert analysed("y = Resize (x, , grid_scale)").tiling.width is None


def test_softmax_before_opset_13_is_over_everything_from_its_axis_on() -> None:
    assert analysed("y = Softmax <axis=1> (x)", opset=12).tiling.width is None
    assert analysed("y = Softmax <axis=1> (x)", opset=13).tiling.width is not None


def test_a_crop_to_a_fixed_size_does_not_follow_the_image() -> None:
    (breaker,) = set(analysed("y = Slice (x, zero, two_i, w)").tiling.breakers)
    assert breaker == "'y' (Slice): its output's size does not follow the image's"


def test_a_flip_counts_from_the_far_end() -> None:
    (breaker,) = set(analysed("y = Slice (x, last, least, w, last)").tiling.breakers)
    assert breaker == "'y' (Slice): it counts from the far end"


def test_an_axis_that_is_reduced_leaves_the_other_one_local() -> None:
    analysis = analysed("y = ReduceMean <keepdims=0> (x, h)")
    assert analysis.tiling.width is not None
    assert analysis.tiling.height is None


GROUPED = """a = Reshape (x, rows)
    b = InstanceNormalization (a, both, both)
    {between}
    s = Shape (x)
    y = Reshape (c, s)"""
GROUPS = {
    "rows": "int64[3] rows = {0,2,-1}",
    "both": "float[2] both = {1,1}",
    "n": "float[1] n = {2}",
}


def grouped(between: str) -> Analysis:
    body = GROUPED.format(between=between)
    return analyze(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 18]> net (float[N,4,H,W] x) => (float y) '
            f"<{', '.join(GROUPS.values())}> {{ {body} }}"
        )
    )


def test_a_norm_over_groups_flattens_the_map_and_restores_it() -> None:
    analysis = grouped("c = Mul (b, n)")
    assert analysis.output.dense
    assert analysis.output.stride == (Fraction(1), Fraction(1))
    assert (analysis.sizes.height.verdict, analysis.sizes.width.verdict) == ("free", "free")
    assert analysis.tiling.height is None
    assert any("InstanceNormalization" in breaker for breaker in analysis.tiling.breakers)


@pytest.mark.parametrize(
    "between",
    [
        "t = Transpose <perm=[0,2,1]> (b)\nc = Add (t, n)",
        "c = Softmax <axis=-1> (b)",
    ],
    ids=["turned", "of no known order"],
)
def test_a_flattened_map_whose_order_is_not_kept_stays_flat(between: str) -> None:
    assert not grouped(between).output.dense


def test_what_is_cast_to_the_images_type_is_no_image() -> None:
    analysis = analysed("b = CastLike (ones, x)\nr = Reshape (b, channels)\ny = Add (x, r)")
    assert analysis.output.dense
    assert analysis.tiling.height is not None
    assert (analysis.tiling.height.alignment, analysis.tiling.breakers) == (1, ())


def test_an_operator_without_a_rule_is_a_breaker() -> None:
    breakers = analysed('y = Einsum <equation="nchw->nchw"> (x)').tiling.breakers
    assert breakers == ("'y' (Einsum): no rule for operator Einsum",)


def test_branches_of_different_stride_that_meet_by_accident_are_named() -> None:
    body = "a = Conv <strides=[2,2], group=4, pads=[1,1,1,1]> (x, k)\ny = Add (x, a)"
    analysis = analysed(body, image="N,4,1,1")
    assert any("different effective strides" in b for b in analysis.tiling.breakers)
