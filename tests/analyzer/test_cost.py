"""Costs against published numbers, formulas written out, and a liveness count of its own."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.published.vgg16 import vgg16
from anyres_analyzer.weights.kinds import KINDS

IMAGE_BYTES = 3 * 224 * 224 * 4  # the caller holds it while the network runs


def by_kind(analysis: Analysis) -> dict[str, int]:
    kinds = {weight.kind for weight in analysis.weights}
    return {
        kind: sum(w.parameters for w in analysis.weights if w.kind == kind)
        for kind in KINDS
        if kind in kinds
    }


def test_vgg16_is_counted_as_published_without_its_weights() -> None:
    analysis = analyze(vgg16().model())
    assert analysis.cost(224, 224).macs == 15_470_264_320
    assert analysis.cost(224, 224).activation_bytes == 25_690_112 + IMAGE_BYTES
    assert analysis.parameters == 138_357_544
    assert [weight.kind for weight in analysis.weights[-3:]] == ["fc over space", "fc", "fc"]
    width = analysis.sizes.width
    assert (width.verdict, width.minimum, width.maximum) == ("fixed", 224, 255)


def network(body: str, *weights: str) -> Analysis:
    return analyze(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 18]> net (float[N,4,H,W] x) => (float y) '
            f"<{', '.join(weights)}> {{ {body} }}"
        )
    )


def ones(name: str, *shape: int) -> str:
    values = ",".join("1" * prod(shape))
    return f"float[{','.join(map(str, shape))}] {name} = {{{values}}}"


BYTES = f"uint8[2,4,3,3] w = {{{','.join('1' * 72)}}}"
MIX = f"float[4,5] m = {{{','.join('1' * 20)}}}"


@pytest.mark.parametrize(
    ("body", "weights", "macs"),
    [
        ('y = Einsum <equation="nchw,cd->ndhw"> (x, m)', MIX, 4 * 8 * 6 * 5),
        ('y = Einsum <equation="...chw, cd -> ...dhw"> (x, m)', MIX, 4 * 8 * 6 * 5),
        ('y = Einsum <equation="nchw->nhwc"> (x)', "", 0),
        # 4 heads of 8 queries and keys, of 6 numbers each: every query meets every key, twice.
        ("y = Attention (x, x, x)", "", 2 * 4 * 8 * 8 * 6),
        ("a, s, z = DynamicQuantizeLinear (x)\ny = ConvInteger (a, w)", BYTES, 2 * 6 * 4 * 4 * 9),
        (
            "a, s, z = DynamicQuantizeLinear (x)\ny = QLinearConv (a, s, z, w, s, z, s, z)",
            BYTES,
            2 * 6 * 4 * 4 * 9,
        ),
    ],
    ids=["Einsum", "Einsum of any rank", "a turn", "Attention", "ConvInteger", "QLinearConv"],
)
def test_every_operator_that_multiplies_matrices_counts(body: str, weights: str, macs: int) -> None:
    analysis = analyze(
        onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["" : 23]> net (float[N,4,H,W] x) => (float y) '
            f"<{weights}> {{ {body} }}"
        )
    )
    assert analysis.cost(8, 6).macs == macs


def test_each_parameter_is_filed_by_what_it_contracts() -> None:
    analysis = network(
        """
        a = Conv <pads=[1,1,1,1]> (x, k, b)
        c = Conv <group=4, pads=[1,1,1,1]> (a, d)
        e = Conv <group=4> (c, s)
        f = Conv (e, p)
        g = PRelu (f, slope)
        h = GlobalAveragePool (g)
        i = Flatten (h)
        j = Gemm (i, fc, fb)
        y = Clip (j, low)
        """,
        ones("k", 4, 4, 3, 3),
        ones("b", 4),
        ones("d", 4, 1, 3, 3),
        ones("s", 4, 1, 1, 1),
        ones("p", 4, 4, 1, 1),
        ones("slope", 4, 1, 1),
        ones("fc", 4, 2),
        ones("fb", 2),
        "float low = {0}",
    )
    assert by_kind(analysis) == {
        "fc": 10,
        "1x1 convolution": 16,
        "per-channel scale": 4,
        "depthwise k x k": 36,
        "k x k convolution": 148,
        "other": 4,
    }


def test_a_shared_weight_counts_once() -> None:
    analysis = network("a = Conv (x, p)\ny = Conv (a, p)", ones("p", 4, 4, 1, 1))
    assert analysis.parameters == 16


def test_a_weight_behind_constant_nodes_belongs_to_the_layer_that_uses_it() -> None:
    analysis = network(
        """
        c = Constant <value = float[4,4,1,1] {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}> ()
        t = Transpose <perm=[1,0,2,3]> (c)
        i = Identity (t)
        [layer] y = Conv (x, i)
        """
    )
    (weight,) = analysis.weights
    assert (weight.node, weight.kind, weight.parameters) == (
        "'layer' (Conv)",
        "1x1 convolution",
        16,
    )
    assert analysis.cost(8, 8).activation_bytes == 2 * 4 * 8 * 8 * 4


@pytest.mark.parametrize(
    ("body", "weight", "macs"),
    [
        ("y = Conv <strides=[2,2]> (x, k)", ones("k", 2, 4, 3, 3), 2 * 4 * 9 * 4 * 7),
        ("y = Conv <group=2> (x, k)", ones("k", 6, 2, 1, 1), 6 * 2 * 10 * 16),
        ("y = ConvTranspose <strides=[2,2]> (x, k)", ones("k", 4, 3, 2, 2), 4 * 10 * 16 * 3 * 4),
        ("y = MatMul (x, k)", ones("k", 16, 5), 4 * 10 * 16 * 5),
        ("y = Relu (x)", "", 0),
    ],
)
def test_a_mac_is_one_multiply_add(body: str, weight: str, macs: int) -> None:
    cost = network(body, *filter(None, [weight])).cost
    assert cost(10, 16).macs == macs
    assert cost(10, 16, batch=3).macs == 3 * macs


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(1, 9)), max_size=12))
def test_the_peak_is_the_most_that_must_live_at_once(
    layers: list[tuple[int, int, int]],
) -> None:
    """Joins of any two earlier maps; one lives until its last use, the image always."""
    maps = {0: 4}
    nodes, uses = [], {0: 0}
    for index, (left, right, channels) in enumerate(layers, 1):
        a, b = left % index, right % index
        nodes.append(f"j{index} = Concat <axis=1> (t{a}, t{b})")
        nodes.append(f"t{index} = Conv (j{index}, {f'w{index}'})")
        maps[index], uses[index] = channels, index
        uses[a] = uses[b] = index
    body = "t0 = Softsign (x)\n" + "\n".join(nodes) + f"\ny = Softsign (t{len(layers)})"
    weights = []
    joined = {}
    for index, (left, right, channels) in enumerate(layers, 1):
        joined[index] = maps[left % index] + maps[right % index]
        weights.append(ones(f"w{index}", channels, joined[index], 1, 1))
    uses[len(layers)] = len(layers) + 1

    def alive(step: int) -> int:
        return sum(channels for i, channels in maps.items() if i < step <= uses[i])

    moments = [4 + 4]
    for index, channels in list(maps.items())[1:]:
        moments.append(4 + alive(index) + joined[index])  # the join is made
        kept = sum(maps[i] for i in maps if i < index < uses[i])
        moments.append(4 + kept + joined[index] + channels)  # the convolution is made
    moments.append(4 + 2 * maps[len(layers)])
    assert network(body, *weights).cost(6, 7).activation_bytes == max(moments) * 6 * 7 * 4


def test_an_operator_writes_in_place_of_an_input_that_dies() -> None:
    cost = network("a = Conv (x, p)\ny = Relu (a)", ones("p", 4, 4, 1, 1)).cost(5, 5)
    assert cost.activation_bytes == 2 * 4 * 25 * 4
    kept = network("a = Conv (x, p)\nb = Relu (a)\ny = Add (a, b)", ones("p", 4, 4, 1, 1)).cost(
        5, 5
    )
    assert kept.activation_bytes == 3 * 4 * 25 * 4
    assert kept.peak_node == "'b' (Relu)"


def test_bytes_follow_the_element_type() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> net (float16[N,4,H,W] x) => (float16 y) '
        "{ y = Softsign (x) }"
    )
    assert analyze(model).cost(5, 5).activation_bytes == 2 * 4 * 25 * np.dtype(np.float16).itemsize
