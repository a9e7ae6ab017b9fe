"""Closed forms against the count at each size, and against polynomials that others published."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.cost.polynomial import Lattice

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
WEIGHTS = {
    "k": (4, 4, 3, 3),
    "up": (4, 4, 2, 2),
    "wide": (4, 8, 3, 3),
    "big": (4, 4, 7, 7),
}
NETS = {
    "a convolution": "y = Conv <pads=[1,1,1,1]> (x, k)",
    "strides that do not divide": """
        a = Conv <strides=[3,2]> (x, k)
        b = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (a)
        y = Conv <strides=[2,1], dilations=[1,2]> (b, k)
    """,
    "a U-Net": """
        a = Conv <pads=[1,1,1,1]> (x, k)
        b = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a)
        c = Conv <pads=[1,1,1,1]> (b, k)
        d = ConvTranspose <strides=[2,2]> (c, up)
        e = Concat <axis=1> (a, d)
        f = Conv <pads=[1,1,1,1]> (e, wide)
        y = Relu (f)
    """,
    "a branch that pools away": """
        a = Relu (x)
        b = GlobalAveragePool (a)
        c = Sigmoid (b)
        y = Mul (a, c)
    """,
    "borders that are all there is": "a = Conv <pads=[3,3,3,3]> (x, big)\ny = Conv (a, big)",
    "attention": """
        flat = Constant <value_ints=[0,4,-1]> ()
        q = Reshape (x, flat)
        p = Transpose <perm=[0,2,1]> (q)
        y = MatMul (p, q)
    """,
    "padding to a step inside": """
        s = Shape <start=2> (x)
        n = Neg (s)
        step = Constant <value_ints=[8,8]> ()
        missing = Mod (n, step)
        begin = Constant <value_ints=[0,0,0,0,0,0]> ()
        pads = Concat <axis=0> (begin, missing)
        a = Pad <mode="edge"> (x, pads)
        y = Conv <strides=[8,8], pads=[1,1,1,1]> (a, k)
    """,
}


def net(name: str) -> Analysis:
    body = NETS[name]
    used = [n for n in WEIGHTS if f", {n})" in body]
    weights = ", ".join(
        f"float[{','.join(map(str, WEIGHTS[n]))}] {n} = {{{_ones(n)}}}" for n in used
    )
    return analyze(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 18]> '
            f"net (float[1,4,H,W] x) => (float y) <{weights}> {{ {body} }}"
        )
    )


def _ones(name: str) -> str:
    return ",".join(["1"] * prod(WEIGHTS[name]))


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_the_formula_is_the_count_at_every_size(name: str, data: st.DataObject) -> None:
    analysis = net(name)
    sides = st.integers(1, 400)
    height = analysis.sizes.height.at_least(data.draw(sides))
    width = analysis.sizes.width.at_least(data.draw(sides))
    formula = analysis.formula(height, width)
    if formula is None:  # below the sizes from which on the class is regular
        assert min(height, width) < 50
        return
    cost = analysis.cost(height, width)
    assert formula.macs(height, width) == cost.macs
    assert formula.peak(height, width) == (cost.activation_bytes, cost.peak_node)
    tensors = analysis.shapes.at(height, width)
    activations = [analysis.graph.image.name, *(n for o in analysis.graph.nodes for n in o.made)]
    kept = sum(tensors[n].bytes for n in activations if n not in analysis.graph.origins)
    assert formula.tensor_bytes(height, width) == kept


def vgg16_trunk() -> Analysis:
    """Without its head, and with weights that nobody has."""
    nodes, weights, last, channels = [], [], "x", 3
    for index, outputs in enumerate(VGG16):
        made = f"t{index}"
        if outputs:
            weight = onnx.TensorProto(name=f"w{index}", dims=(outputs, channels, 3, 3), data_type=1)
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(key="location", value="missing.bin")
            weights.append(weight)
            call = ("Conv", [last, weight.name], [made])
            nodes.append(onnx.helper.make_node(*call, pads=[1, 1, 1, 1]))
            channels = outputs
        else:
            call = ("MaxPool", [last], [made])
            nodes.append(onnx.helper.make_node(*call, kernel_shape=[2, 2], strides=[2, 2]))
        last = made
    image = onnx.helper.make_tensor_value_info("x", 1, [1, 3, "h", "w"])
    output = onnx.helper.make_tensor_value_info(last, 1, None)
    graph = onnx.helper.make_graph(nodes, "vgg16", [image], [output], weights)
    return analyze(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]))


def test_vgg16_has_the_published_polynomial_of_its_last_residue_class() -> None:
    formula = vgg16_trunk().formula(255, 415)
    assert formula is not None
    assert formula.macs.monomials() == {
        (1, 1): 305_856,
        (1, 0): -1_391_616,
        (0, 1): -1_391_616,
        (0, 0): 11_621_376,
    }


def test_attention_is_quadratic_in_pixels() -> None:
    formula = net("attention").formula(40, 56)
    assert formula is not None
    assert formula.macs.monomials() == {(2, 2): 4}


def test_the_node_that_peaks_changes_with_the_size() -> None:
    """A large head on a pooled map costs the same at any size; the first map grows."""
    body = """
        a = Relu (x)
        b = GlobalAveragePool (a)
        big = Constant <value_ints=[1,1,64,64]> ()
        y = Tile (b, big)
    """
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[1,4,H,W] x) => (float y) {{ {body} }}'
    )
    formula = analyze(model).formula(16, 16)
    assert formula is not None
    assert [moment.node for moment in formula.moments] == [
        "'b' (GlobalAveragePool)",
        "'y' (Tile)",
    ]
    assert formula.peak(16, 16)[1] == "'y' (Tile)"
    pooled = 4 * 4
    assert formula.peak(160, 160) == (2 * pooled * 160 * 160 + pooled, "'b' (GlobalAveragePool)")


def test_an_fc_head_has_one_size_and_its_cost_is_a_number() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,4,8,8] x) => (float y) <float[256,2] fc> {
            a = Flatten (x)
            y = Gemm (a, fc)
        }"""
    )
    weight = onnx.TensorProto(name="fc", dims=(256, 2), data_type=1, raw_data=bytes(2048))
    del model.graph.initializer[:]
    model.graph.initializer.append(weight)
    formula = analyze(model).formula(8, 8)
    assert formula is not None
    assert formula.macs.monomials() == {(0, 0): 512}


@given(
    start=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    period=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    u=st.integers(0, 9),
    v=st.integers(0, 9),
)
def test_a_lattice_finds_the_place_of_each_of_its_sizes(
    start: tuple[int, int], period: tuple[int, int], u: int, v: int
) -> None:
    lattice = Lattice(start, period)
    assert lattice.place(*lattice.size(u, v)) == (u, v)


def test_coefficients_are_exact_fractions() -> None:
    """A third of the rows and half of the columns: 9 taps of 4 x 4 channels at a sixth of them."""
    formula = net("strides that do not divide").formula(607, 601)
    assert formula is not None
    leading = formula.macs.monomials()[1, 1]
    assert leading == Fraction(144, 6) + Fraction(144, 48)
