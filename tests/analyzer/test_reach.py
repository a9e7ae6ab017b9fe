"""Predicted receptive fields against brute force: poke each pixel and see which outputs move.

The oracle is ONNX Runtime; it shares nothing with the code under test.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anyres_analyzer import analyze
from anyres_analyzer.published.unet import unet

WIDTH = 28
FAR = 24  # more than what three layers cut or pad
FEW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
Moves = dict[int, set[int]]


def network(body: str, channels: int = 1, height: str = "H") -> onnx.ModelProto:
    """A network on maps; `kN` is a kernel of ones, 1xN, and `scaleN` enlarges the width."""
    kernels = [f"float[1,1,1,{n}] k{n} = {{{','.join('1' * n)}}}" for n in range(1, 6)]
    scales = [f"float[4] scale{n} = {{1,1,1,{n}}}" for n in (2, 3)] + [
        "float[4] halve = {1,1,1,0.5}"
    ]
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> '
        f"net (float[N,{channels},{height},W] x) => (float[M,C,V,U] y) "
        f"<{', '.join(kernels + scales)}> {{ {body} }}"
    )


def observed(
    model: onnx.ModelProto, channels: int = 1, height: int = 1, width: int = WIDTH
) -> Moves:
    """For each output column, the input columns that move it: a batch of quiet and poked images."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # a size that fails is hypothesis's business
    session = ort.InferenceSession(model.SerializeToString(), options)
    images = np.ones((width + 1, channels, height, width), np.float32)
    for pixel in range(width):
        images[pixel, ..., pixel] = 100
    outputs: NDArray[np.float32] = session.run(None, {"x": images})[0]
    moved = (outputs[:width] != outputs[width]).any((1, 2))
    return {o: set(map(int, np.flatnonzero(column))) for o, column in enumerate(moved.T)}


def predicted(model: onnx.ModelProto, outputs: int) -> Moves:
    return {
        o: set(range(first, last + 1)) & set(range(WIDTH))
        for o, (first, last) in enumerate(intervals(model, outputs))
    }


def intervals(model: onnx.ModelProto, outputs: int) -> list[tuple[int, int]]:
    """The first and last input column of each output column, by its phase."""
    analysis = analyze(model)
    assert analysis.receptive_field, analysis.tiling.breakers
    field = analysis.receptive_field.width
    turns = (divmod(o, len(field.phases)) for o in range(outputs))
    return [
        (
            field.phases[phase][0] + turn * field.advance,
            field.phases[phase][1] + turn * field.advance,
        )
        for turn, phase in turns
    ]


def assert_covered(model: onnx.ModelProto, *, exactly: bool = False) -> None:
    seen = observed(model)
    expected = predicted(model, len(seen))
    assert all(seen[column] <= expected[column] for column in seen)
    if exactly:
        assert seen == expected


def assert_tight(model: onnx.ModelProto) -> None:
    """Away from every layer's borders an output reads its first and its last pixel."""
    seen = observed(model, width=FAR + WIDTH + FAR)
    for column, (first, last) in enumerate(intervals(model, len(seen))):
        if first >= FAR and last < FAR + WIDTH:
            extremes = min(seen[column], default=first), max(seen[column], default=last)
            assert extremes == (first, last), column


@st.composite
def windows(draw: st.DrawFn) -> str:
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (5, 3, 2))
    before, after = (draw(st.integers(0, min(2, kernel - 1))) for _ in range(2))
    return (
        f"<kernel_shape=[1,{kernel}], strides=[1,{stride}], pads=[0,{before},0,{after}], "
        f"dilations=[1,{dilation}]> (IN, k{kernel})"
    )


@st.composite
def pools(draw: st.DrawFn) -> str:
    operator = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    before, after = (draw(st.integers(0, kernel // 2)) for _ in range(2))
    return (
        f"{operator} <kernel_shape=[1,{kernel}], strides=[1,{stride}], "
        f"pads=[0,{before},0,{after}], ceil_mode={draw(st.integers(0, 1))}> (IN)"
    )


@st.composite
def transposed(draw: st.DrawFn) -> str:
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    before, after = (draw(st.integers(0, (kernel - 1) // 2)) for _ in range(2))
    return (
        f"ConvTranspose <kernel_shape=[1,{kernel}], strides=[1,{stride}], "
        f"pads=[0,{before},0,{after}], output_padding=[0,{draw(st.integers(0, stride - 1))}]> "
        f"(IN, k{kernel})"
    )


RESIZES = st.builds(
    'Resize <mode="{}", coordinate_transformation_mode="{}", nearest_mode="{}"> (IN, , {})'.format,
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["half_pixel", "asymmetric", "pytorch_half_pixel"]),
    st.sampled_from(["round_prefer_floor", "floor", "ceil"]),
    st.sampled_from(["scale2", "scale3", "halve"]),
)
PADS = st.builds("Pad (IN, PADS{}_{})".format, st.integers(0, 3), st.integers(0, 3))
SLICES = st.builds(
    "Slice (IN, START{}, END, AXES, STEP{})".format, st.integers(0, 3), st.integers(1, 3)
)
LAYERS = st.one_of(windows().map("Conv {}".format), pools(), transposed(), RESIZES, PADS, SLICES)


def chain(layers: list[str]) -> str:
    """The layers one after the other, with the constants that they name made first."""
    constants = ["END = Constant <value_ints=[100000]> ()", "AXES = Constant <value_ints=[3]> ()"]
    for i in range(4):
        constants += [f"START{i} = Constant <value_ints=[{i}]> ()"]
        constants += [f"STEP{i} = Constant <value_ints=[{i}]> ()"]
        constants += [
            f"PADS{i}_{j} = Constant <value_ints=[0,0,0,{i},0,0,0,{j}]> ()" for j in range(4)
        ]
    names = ["x", *(f"t{i}" for i in range(len(layers) - 1)), "y"]
    calls = [
        f"{names[i + 1]} = {layer.replace('IN,', names[i] + ',').replace('IN)', names[i] + ')')}"
        for i, layer in enumerate(layers)
    ]
    used = [c for c in constants if any(c.split(" =")[0] in call for call in calls)]
    return "\n".join(used + calls)


@FEW
@given(windows())
def test_a_convolution_is_covered_and_exact_without_dilation(window: str) -> None:
    assert_covered(
        network(f"y = Conv {window.replace('IN', 'x')}"), exactly="dilations=[1,1]" in window
    )


@FEW
@given(transposed())
def test_a_transposed_convolution_is_exact(layer: str) -> None:
    assert_covered(network(f"y = {layer.replace('IN', 'x')}"), exactly=True)


@FEW
@given(pools())
def test_a_pool_is_exact(layer: str) -> None:
    assert_covered(network(f"y = {layer.replace('IN', 'x')}"), exactly=True)


@FEW
@given(PADS, SLICES)
def test_a_pad_and_a_crop_are_exact(pad: str, crop: str) -> None:
    assert_covered(network(chain([pad, crop])), exactly=True)


@FEW
@given(st.lists(LAYERS, min_size=2, max_size=5))
def test_a_chain_never_reads_more_than_predicted(layers: list[str]) -> None:
    model = network(chain(layers))
    assume(analyze(model).sizes.width.minimum <= WIDTH)
    assert_covered(model)


CLEAR_RESIZES = st.builds(  # whose borders need no pixel that the others do not
    "Resize <{}> (IN, , {})".format,
    st.sampled_from(
        [
            'mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"',
            'mode="nearest", nearest_mode="round_prefer_floor"',
            'mode="linear", coordinate_transformation_mode="asymmetric"',
            'mode="linear"',
        ]
    ),
    st.sampled_from(["scale2", "halve"]),
)
FULL_TRANSPOSED = st.builds(
    "ConvTranspose <kernel_shape=[1,{0}], strides=[1,{1}], pads=[0,{2},0,{2}]> (IN, k{0})".format,
    st.integers(3, 5),
    st.integers(1, 3),
    st.integers(0, 1),
)


@FEW
@given(
    st.lists(
        st.one_of(
            windows().map("Conv {}".format), pools(), FULL_TRANSPOSED, CLEAR_RESIZES, PADS, SLICES
        ),
        min_size=2,
        max_size=3,
    )
)
def test_a_chain_reads_exactly_its_phases_interval(layers: list[str]) -> None:
    model = network(chain(layers))
    assume(analyze(model).sizes.width.minimum <= WIDTH)
    assert_tight(model)


@pytest.mark.parametrize("coordinates", ["align_corners", "tf_half_pixel_for_nn"])
@pytest.mark.parametrize("scale", ["scale2", "scale3", "halve"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_coordinates_of_every_kind_are_covered(mode: str, scale: str, coordinates: str) -> None:
    attributes = f'mode="{mode}", coordinate_transformation_mode="{coordinates}"'
    assert_covered(network(f"y = Resize <{attributes}> (x, , {scale})"))


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_same_padding_is_covered_at_every_residue(auto_pad: str, kernel: int) -> None:
    model = network(f'y = Conv <auto_pad="{auto_pad}", strides=[1,3]> (x, k{kernel})')
    assert_covered(model)


def test_enlarging_to_the_skip_s_own_size_is_covered() -> None:
    """WIDTH is no multiple of the stride 3, so the factor is not 3."""
    assert WIDTH % 3
    assert_covered(
        network(
            """
            s = Shape (x)
            a = Conv <strides=[1,3], pads=[0,1,0,1]> (x, k3)
            b = Resize <mode="linear"> (a, , , s)
            y = Add (x, b)
            """
        )
    )


def test_after_an_upsampling_phases_see_differently_far() -> None:
    """Worked by hand: columns 2o and 2o + 1 of the pool's cell o, and a tap on either side."""
    body = """
        a = MaxPool <kernel_shape=[1,2], strides=[1,2]> (x)
        b = Resize <mode="nearest", coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor"> (a, , scale2)
        y = Conv <pads=[0,1,0,1]> (b, k3)
    """
    field = analyze(network(body)).receptive_field
    assert field is not None
    assert (field.width.phases, field.width.advance) == (((-2, 1), (0, 3)), 2)
    assert (field.width.size, field.width.padding, str(field.width.offset)) == (4, 2, "0")


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        ("y = Conv <pads=[0,1,0,1]> (x, k3)", "0"),
        ("y = Conv <strides=[1,2]> (x, k2)", "1/2"),
        ("y = ConvTranspose <strides=[1,2]> (x, k2)", "-1/4"),
        ('y = Resize <mode="linear"> (x, , scale2)', "-1/4"),
        ('y = Resize <mode="nearest", nearest_mode="floor"> (x, , scale2)', "-3/4"),
        ("a = Conv <strides=[1,2]> (x, k2)\ny = ConvTranspose <strides=[1,2]> (a, k2)", "0"),
    ],
)
def test_outputs_are_centred_where_the_centre_map_says(body: str, offset: str) -> None:
    assert str(analyze(network(body)).output.offset[1]) == offset


def test_a_misaligned_join_names_both_paths_and_their_distance() -> None:
    analysis = analyze(
        network(
            """
            [stem] a = Conv <pads=[0,1,0,1]> (x, k3)
            [even] b = Conv <pads=[0,1,0,0]> (a, k2)
            [join] y = Add (a, b)
            """
        )
    )
    (sentence,) = analysis.output.misaligned
    assert sentence == (
        "'join' (Add) joins paths whose centres lie 1/2 px apart: one straight on; "
        "one through 'even' (Conv)"
    )
    assert analysis.receptive_field is not None
    assert analysis.tiling.width is not None


def test_an_aligned_join_is_no_finding() -> None:
    body = "a = Conv <pads=[0,1,0,1]> (x, k3)\ny = Add (a, x)"
    assert analyze(network(body)).output.misaligned == ()


def test_paths_of_different_strides_are_named() -> None:
    """Legal by accident: one column is broadcast over two."""
    body = """
        [slow] a = Conv <strides=[1,2]> (x, k2)
        [join] y = Add (a, x)
    """
    model = network(body)
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 2
    assert analyze(model).tiling.breakers[0] == (
        "'join' (Add): paths of different effective strides meet: "
        "2 (one through 'slow' (Conv)) and 1 (one straight on)"
    )


@FEW
@given(
    kernels=st.tuples(*[st.sampled_from([1, 3, 5])] * 3),
    down=st.sampled_from(
        [
            "MaxPool <kernel_shape=[1,2], strides=[1,2]> (a)",
            "Conv <strides=[1,2]> (a, k2)",
            "Conv <strides=[1,2], pads=[0,0,0,1]> (a, k3)",
        ]
    ),
    up=st.sampled_from(
        [
            "ConvTranspose <strides=[1,2]> (c, k2)",
            "ConvTranspose <strides=[1,2], pads=[0,1,0,1]> (c, k4)",
            'Resize <mode="nearest"> (c, , scale2)',
            'Resize <mode="linear"> (c, , scale2)',
        ]
    ),
    join=st.sampled_from(["Add (a, e)", "Concat <axis=1> (a, e)"]),
)
def test_a_level_of_a_u_shaped_net_is_covered(
    kernels: tuple[int, int, int], down: str, up: str, join: str
) -> None:
    skip, bottom, head = kernels
    assert_covered(
        network(
            f"""
            a = Conv <pads=[0,{skip // 2},0,{skip // 2}]> (x, k{skip})
            b = {down}
            c = Conv <pads=[0,{bottom // 2},0,{bottom // 2}]> (b, k{bottom})
            e = {up}
            f = {join}
            g = ReduceSum <keepdims=1> (f, channels)
            y = Conv <pads=[0,{head // 2},0,{head // 2}]> (g, k{head})
            """.replace("g = ", "channels = Constant <value_ints=[1]> ()\ng = ")
        )
    )


@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
@pytest.mark.parametrize("scale", ["scale2", "scale3", "halve"])
def test_a_nearest_resize_is_covered_up_to_the_borders(
    rounding: str, coordinates: str, scale: str
) -> None:
    modes = f'coordinate_transformation_mode="{coordinates}", nearest_mode="{rounding}"'
    assert_covered(network(f'y = Resize <mode="nearest", {modes}> (x, , {scale})'))


def test_a_shuffle_and_its_inverse_read_their_blocks() -> None:
    down = network("y = SpaceToDepth <blocksize=2> (x)")
    assert observed(down, height=2) == predicted(down, WIDTH // 2)
    up = network("y = DepthToSpace <blocksize=2> (x)", channels=4)
    assert observed(up, channels=4) == predicted(up, 2 * WIDTH)


def test_a_transpose_takes_the_axis_along() -> None:
    model = network(
        """
        a = Transpose <perm=[0,3,1,2]> (x)
        b = Relu (a)
        c = Transpose <perm=[0,2,3,1]> (b)
        y = Conv <pads=[0,2,0,0]> (c, k3)
        """
    )
    assert observed(model) == predicted(model, WIDTH)


def test_heights_and_widths_are_told_apart() -> None:
    field = analyze(network("y = Conv <strides=[1,3]> (x, k5)")).receptive_field
    assert field is not None
    assert (field.height.size, int(field.height.stride)) == (1, 1)
    assert (field.width.size, int(field.width.stride)) == (5, 3)


@pytest.mark.parametrize("mode", ["half_pixel", "asymmetric"])
def test_a_linear_resize_up_and_down_reads_its_neighbours(mode: str) -> None:
    layer = f'Resize <mode="linear", coordinate_transformation_mode="{mode}"> (IN, , SCALE)'
    assert_covered(
        network(chain([layer.replace("SCALE", "scale3"), layer.replace("SCALE", "halve")]))
    )


@pytest.mark.parametrize("same", [True, False])
def test_the_u_net_of_the_paper_sees_188_to_204_pixels_in_16_phases(same: bool) -> None:
    field = analyze(unet(same=same).model()).receptive_field
    assert field is not None
    sizes = [last - first + 1 for first, last in field.width.phases]
    assert (len(sizes), field.width.advance) == (16, 16)
    assert (min(sizes), max(sizes), field.width.size) == (188, 204, 204)
