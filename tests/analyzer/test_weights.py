"""What each weight is for, what a 1x1 convolution mixes, and how parameters grow with the image."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.weights.growth import parameters_by_size
from anyres_analyzer.weights.mixing import Mixing, mixing, mixing_matrix

Array = NDArray[Any]


IMAGE = "float[N,4,H,W] x"


def model(body: str, image: str = IMAGE, opset: int = 18, /, **arrays: Array) -> onnx.ModelProto:
    made = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> net ({image}) => (float y) {{ {body} }}'
    )
    made.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
    return made


def ones(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def kinds(analysis: Analysis) -> list[tuple[str, int]]:
    return [(weight.kind, weight.parameters) for weight in analysis.weights]


# Kinds

PINNED = "float[N,4,8,8] x"
TOKENS = "a = Reshape (x, flat) b = Transpose <perm=[0,2,1]> (a)"
FLAT = {"flat": ints(0, 4, -1)}
KINDS: dict[str, tuple[str, str, dict[str, Array], list[tuple[str, int]]]] = {
    "a convolution of one pixel": (
        IMAGE,
        "y = Conv (x, w, b)",
        {"w": ones(6, 4, 1, 1), "b": ones(6)},
        [("1x1 convolution", 30)],
    ),
    "the same with a stride": (
        IMAGE,
        "y = Conv <strides=[2,2]> (x, w)",
        {"w": ones(6, 4, 1, 1)},
        [("1x1 convolution", 24)],
    ),
    "the same in groups": (
        IMAGE,
        "y = Conv <group=2> (x, w)",
        {"w": ones(6, 2, 1, 1)},
        [("1x1 convolution", 12)],
    ),
    "the same on a single map of one pixel": (
        "float[N,4,1,1] x",
        "y = Conv (x, w)",
        {"w": ones(6, 4, 1, 1)},
        [("1x1 convolution", 24)],
    ),
    "the same after global pooling, as squeeze-and-excitation writes it": (
        IMAGE,
        "p = GlobalAveragePool (x) a = Conv (p, w) s = Sigmoid (a) y = Mul (x, s)",
        {"w": ones(4, 4, 1, 1)},
        [("fc", 16)],
    ),
    "a transposed convolution of one pixel": (
        IMAGE,
        "y = ConvTranspose (x, w)",
        {"w": ones(4, 6, 1, 1)},
        [("1x1 convolution", 24)],
    ),
    "a product over channels that come last": (
        IMAGE,
        "a = Transpose <perm=[0,2,3,1]> (x) b = MatMul (a, w) c = Add (b, v) "
        "y = Transpose <perm=[0,3,1,2]> (c)",
        {"w": ones(4, 6), "v": ones(6)},
        [("1x1 convolution", 30)],
    ),
    "the same behind a number for each channel": (
        IMAGE,
        "a = Transpose <perm=[0,2,3,1]> (x) b = Mul (v, a) y = MatMul (b, w)",
        {"w": ones(4, 6), "v": ones(1, 1, 4)},
        [("per-channel scale", 4), ("1x1 convolution", 24)],
    ),
    "a product over a transformer's tokens": (
        IMAGE,
        f"{TOKENS} y = MatMul (b, w)",
        {"w": ones(4, 6), **FLAT},
        [("1x1 convolution", 24)],
    ),
    "the same with the weight on the left": (
        IMAGE,
        "a = Reshape (x, flat) y = MatMul (w, a)",
        {"w": ones(6, 4), **FLAT},
        [("1x1 convolution", 24)],
    ),
    "a product over tokens themselves, as a mixer writes it": (
        PINNED,
        "a = Reshape (x, flat) y = MatMul (a, w)",
        {"w": ones(64, 32), **FLAT},
        [("fc over space", 2048)],
    ),
    "a product over columns": (
        "float[N,4,H,8] x",
        "y = MatMul (x, w)",
        {"w": ones(8, 3)},
        [("fc over space", 24)],
    ),
    "patches cut by a reshape": (
        PINNED,
        "a = Reshape (x, cut) b = Transpose <perm=[0,2,4,1,3,5]> (a) c = Reshape (b, flat) "
        "y = MatMul (c, w)",
        {"cut": ints(0, 4, 2, 4, 2, 4), "flat": ints(0, 4, 64), "w": ones(64, 3)},
        [("k x k convolution", 192)],
    ),
    "a flattened map": (
        PINNED,
        "a = Flatten (x) b = Gemm (a, w, v) c = Relu (b) y = Gemm <transB=1> (c, u)",
        {"w": ones(256, 5), "v": ones(5), "u": ones(2, 5)},
        [("fc over space", 1285), ("fc", 10)],
    ),
    "a map that a reshape has scrambled": (
        "float[N,4,6,6] x",
        "a = Reshape (x, odd) b = Flatten (a) y = Gemm (b, w)",
        {"odd": ints(0, 9, 16), "w": ones(144, 5)},
        [("fc over space", 720)],
    ),
    "a pooled map": (
        IMAGE,
        "a = GlobalAveragePool (x) b = Flatten (a) c = MatMul (b, w) y = Add (c, v)",
        {"w": ones(4, 5), "v": ones(5)},
        [("fc", 25)],
    ),
    "a map averaged over its axes": (
        IMAGE,
        "a = ReduceMean <keepdims=0> (x, axes) y = Gemm (a, w)",
        {"w": ones(4, 5), "axes": ints(2, 3)},
        [("fc", 20)],
    ),
    "one of a map's pixels": (
        PINNED,
        "a = Gather <axis=3> (x, zero) b = Gather <axis=2> (a, zero) y = Gemm (b, w)",
        {"w": ones(4, 5), "zero": np.array(0, np.int64)},
        [("fc", 20)],
    ),
    "a window as large as the map": (
        PINNED,
        "y = Conv (x, w)",
        {"w": ones(5, 4, 8, 8)},
        [("fc over space", 1280)],
    ),
    "the same window on a map of any size": (
        IMAGE,
        "y = Conv (x, w)",
        {"w": ones(5, 4, 8, 8)},
        [("k x k convolution", 1280)],
    ),
    "a window that leaves pixels out": (
        PINNED,
        "y = Conv <strides=[8,8]> (x, w)",
        {"w": ones(5, 4, 3, 3)},
        [("k x k convolution", 180)],
    ),
    "what a window as large as the map has made": (
        PINNED,
        "a = Conv (x, w) t = Transpose <perm=[0,2,3,1]> (a) b = Flatten (t) y = Gemm (b, u)",
        {"w": ones(5, 4, 8, 8), "u": ones(5, 3)},
        [("fc over space", 1280), ("fc", 15)],
    ),
    "a map averaged by a window as large": (
        PINNED,
        "a = AveragePool <kernel_shape=[8,8]> (x) y = Conv (a, w)",
        {"w": ones(5, 4, 1, 1)},
        [("fc", 20)],
    ),
    "pixels that are rows of a matrix": (
        "float[1,4,8,8] x",
        "a = Reshape (x, flat) b = Gemm <transA=1> (a, w) c = Gemm (b, u) y = Reshape (c, one)",
        {"flat": ints(4, 64), "one": ints(1, 64, 2), "w": ones(4, 6), "u": ones(6, 2)},
        [("1x1 convolution", 24), ("1x1 convolution", 12)],
    ),
    "a scale after a convolution": (
        IMAGE,
        "a = Conv (x, w) y = Mul (a, v)",
        {"w": ones(6, 4, 3, 3), "v": ones(6, 1, 1)},
        [("k x k convolution", 216), ("per-channel scale", 6)],
    ),
    "a transposed window in groups": (
        IMAGE,
        "y = ConvTranspose <group=2> (x, w)",
        {"w": ones(4, 1, 2, 2)},
        [("k x k convolution", 16)],
    ),
    "a window": (IMAGE, "y = Conv (x, w)", {"w": ones(5, 4, 3, 1)}, [("k x k convolution", 60)]),
    "a window in groups": (
        IMAGE,
        "y = Conv <group=2> (x, w)",
        {"w": ones(6, 2, 3, 3)},
        [("k x k convolution", 108)],
    ),
    "a window for each channel": (
        IMAGE,
        "y = Conv <group=4> (x, w)",
        {"w": ones(4, 1, 3, 3)},
        [("depthwise k x k", 36)],
    ),
    "two windows for each channel": (
        IMAGE,
        "y = Conv <group=4> (x, w)",
        {"w": ones(8, 1, 3, 3)},
        [("depthwise k x k", 72)],
    ),
    "a transposed window for each channel": (
        IMAGE,
        "y = ConvTranspose <group=4> (x, w)",
        {"w": ones(4, 1, 2, 2)},
        [("depthwise k x k", 16)],
    ),
    "a number for each channel": (
        IMAGE,
        "y = Conv <group=4> (x, w)",
        {"w": ones(4, 1, 1, 1)},
        [("per-channel scale", 4)],
    ),
    "the same as a product": (
        IMAGE,
        "y = Mul (x, w)",
        {"w": ones(4, 1, 1)},
        [("per-channel scale", 4)],
    ),
    "the same on channels that come last": (
        IMAGE,
        "a = Transpose <perm=[0,2,3,1]> (x) b = LayerNormalization (a, w, v) y = Mul (b, u)",
        {"w": ones(4), "v": ones(4), "u": ones(4)},
        [("per-channel scale", 8), ("per-channel scale", 4)],
    ),
    "statistics for each channel": (
        IMAGE,
        "y = BatchNormalization (x, a, b, c, d)",
        {name: ones(4) for name in "abcd"},
        [("per-channel scale", 8)],  # means and variances are measured, not learned
    ),
    "a group norm as reshapes write it": (
        IMAGE,
        "s = Shape (x) a = Reshape (x, cut) b = InstanceNormalization (a, u, u) "
        "c = Reshape (b, s) d = Mul (c, w) y = Add (d, w)",
        {"cut": ints(0, 2, -1), "u": ones(2), "w": ones(4, 1, 1)},
        [("per-channel scale", 2), ("per-channel scale", 4)],
    ),
    "a bias in a node of its own": (
        IMAGE,
        "a = Conv (x, w) y = Add (v, a)",
        {"w": ones(6, 4, 3, 3), "v": ones(6, 1, 1)},
        [("k x k convolution", 222)],
    ),
    "a number of the formula": (IMAGE, "y = Div (x, w)", {"w": ones(1)}, []),
    "a number for each pixel": (PINNED, "y = Add (x, w)", {"w": ones(4, 8, 8)}, [("other", 256)]),
    "a number for each column": (PINNED, "y = Mul (x, w)", {"w": ones(8)}, [("other", 8)]),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_weight_is_judged_by_what_it_contracts(name: str) -> None:
    image, body, arrays, expected = KINDS[name]
    assert kinds(analyze(model(body, image, **arrays))) == expected


def quantized(weight: NDArray[np.float32]) -> dict[str, Array]:
    """A weight as int8 with a scale for each output channel."""
    scale = np.abs(weight).max(axis=(1, 2, 3)) / np.float32(127)
    return {
        "q": np.rint(weight / scale[:, None, None, None]).astype(np.int8),
        "s": scale.astype(np.float32),
        "z": np.zeros(len(scale), np.int8),
        "t": np.array(0.1, np.float32),
        "o": np.array(0, np.int8),
    }


QDQ = """
    a = QuantizeLinear (x, t, o) b = DequantizeLinear (a, t, o)
    w = DequantizeLinear <axis=0> (q, s, z) y = Conv (b, w)
"""


@pytest.mark.parametrize(("opset", "outputs"), [(13, 300), (19, 6), (19, 300)])
def test_a_quantized_layer_holds_the_parameters_of_the_layer_that_was_quantized(
    opset: int, outputs: int
) -> None:
    weight = np.random.default_rng(1).normal(size=(outputs, 4, 1, 1)).astype(np.float32)
    analysis = analyze(model(QDQ, IMAGE, opset, **quantized(weight)))
    assert kinds(analysis) == [("1x1 convolution", 4 * outputs)]


def test_a_quantized_operator_is_judged_like_any_other() -> None:
    numbers: dict[str, Array] = {
        "w": np.ones((6, 4, 1, 1), np.int8),
        "s": np.array(0.1, np.float32),
    }
    body = "y = QLinearConv (x, s, z, w, s, z, s, z)"
    analysis = analyze(model(body, "int8[N,4,H,W] x", z=np.array(0, np.int8), **numbers))
    assert kinds(analysis) == [("1x1 convolution", 24)]


# What a 1x1 convolution mixes


def mixed(matrix: Array, body: str = "y = Conv (x, w)") -> Mixing:
    """The mixing of a convolution with this matrix, on 9 rows of 7 pixels."""
    made = model(body, f"float[N,{matrix.shape[1]},H,W] x", w=matrix[:, :, None, None])
    (found,) = mixing(analyze(made), 9, 7)
    return found


def test_the_identity_mixes_nothing() -> None:
    found = mixed(np.eye(5, dtype=np.float32))
    assert (found.rank, found.full_rank, found.off_diagonal) == (5, 5, 0.0)


def test_a_diagonal_is_one_scalar_for_each_channel() -> None:
    found = mixed(np.diag([3, 0, -2, 1e-3]).astype(np.float32))
    assert (found.rank, found.off_diagonal) == (3, 0.0)


def test_a_permutation_lies_off_the_diagonal() -> None:
    found = mixed(np.roll(np.eye(6, dtype=np.float32), 1, axis=0))
    assert (found.rank, found.off_diagonal) == (6, 1.0)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_an_outer_product_has_rank_one_in_every_type(kind: type) -> None:
    random = np.random.default_rng(2)
    matrix: Array = np.outer(random.normal(size=40), random.normal(size=30)).astype(kind)
    image = f"{ {2: 'float16', 4: 'float', 8: 'double'}[matrix.itemsize] }[N,30,H,W] x"
    (found,) = mixing(analyze(model("y = Conv (x, w)", image, w=matrix[:, :, None, None])))
    assert (found.rank, found.full_rank, found.off_diagonal) == (1, 30, None)


def test_a_layer_of_zeros_mixes_nothing_and_has_no_share() -> None:
    found = mixed(np.zeros((3, 3), np.float32))
    assert (found.rank, found.off_diagonal) == (0, None)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), st.integers(0, 10**6))
def test_rank_and_share_are_those_of_numpy(rows: int, columns: int, rank: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(rows, rank)), random.normal(size=(rank, columns))
    matrix = (left @ right).astype(np.float32)
    found = mixed(matrix)
    assert found.rank == min(rows, columns, rank)
    if rows == columns and rank:
        off = matrix * (1 - np.eye(rows))
        share = np.linalg.norm(off) ** 2 / np.linalg.norm(matrix) ** 2
        assert found.off_diagonal == pytest.approx(share, abs=1e-6)


def test_what_the_same_map_costs_as_an_fc_layer() -> None:
    """By Python's own integers: 7x9 positions, 3 channels in and 2 out."""
    found = mixed(np.ones((2, 3), np.float32))
    assert (found.inputs, found.outputs, found.parameters) == (3, 2, 6)
    assert (found.size, found.positions, found.macs) == ((7, 9), 63, 63 * 6)
    assert found.fc_parameters == found.fc_macs == (3 * 7 * 9) * (2 * 7 * 9)


def test_a_stride_counts_the_positions_of_each_side() -> None:
    found = mixed(np.ones((2, 3), np.float32), "y = Conv <strides=[2,2]> (x, w)")
    assert (found.positions, found.macs) == (5 * 4, 5 * 4 * 6)
    assert found.fc_parameters == (3 * 9 * 7) * (2 * 5 * 4)


@pytest.mark.parametrize("size", [(1, 1), (56, 56), (4000, 3000)])
def test_counts_are_exact_at_any_size(size: tuple[int, int]) -> None:
    made = model("y = Conv (x, w)", "float[N,64,H,W] x", w=ones(64, 64, 1, 1))
    (found,) = mixing(analyze(made), *size)
    assert found.fc_parameters == (64 * size[0] * size[1]) ** 2
    assert found.macs == 64 * 64 * size[0] * size[1]


def test_macs_are_those_of_the_cost() -> None:
    for body in ("y = Conv <strides=[2,3]> (x, w)", "y = ConvTranspose <strides=[2,2]> (x, w)"):
        analysis = analyze(model(body, w=ones(4, 4, 1, 1)))
        assert mixing(analysis, 13, 11)[0].macs == analysis.cost(13, 11).macs


# One matrix at every pixel, whatever operator writes it
WRITINGS: dict[str, Callable[[NDArray[np.float32]], onnx.ModelProto]] = {
    "Conv": lambda m: model("y = Conv (x, w)", w=m[:, :, None, None]),
    "ConvTranspose": lambda m: model("y = ConvTranspose (x, w)", w=m.T[:, :, None, None].copy()),
    "MatMul": lambda m: model(
        "a = Transpose <perm=[0,2,3,1]> (x) b = MatMul (a, w) y = Transpose <perm=[0,3,1,2]> (b)",
        w=m.T.copy(),
    ),
    "MatMul of a constant's transpose": lambda m: model(
        "a = Transpose <perm=[0,2,3,1]> (x) t = Transpose (w) b = MatMul (a, t) "
        "y = Transpose <perm=[0,3,1,2]> (b)",
        w=m,
    ),
    "MatMul from the left": lambda m: model(
        "s = Shape (x) a = Reshape (x, f) b = MatMul (w, a) h = Slice (s, two, four) "
        "c = Concat <axis=0> (r, h) y = Reshape (b, c)",
        w=m,
        f=ints(0, 4, -1),
        two=ints(2),
        four=ints(4),
        r=ints(1, len(m)),
    ),
    "Gemm": lambda m: model(
        "a = Transpose <perm=[0,2,3,1]> (x) b = Reshape (a, f) c = Gemm <transB=1, alpha=0.5> "
        "(b, w) s = Shape (a) h = Slice (s, zero, three) t = Concat <axis=0> (h, k) "
        "d = Reshape (c, t) y = Transpose <perm=[0,3,1,2]> (d)",
        w=2 * m,
        f=ints(-1, 4),
        zero=ints(0),
        three=ints(3),
        k=ints(len(m)),
    ),
}


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("outputs", [3, 4])
def test_the_matrix_applied_at_each_pixel_is_the_layer(writing: str, outputs: int) -> None:
    random = np.random.default_rng(3)
    written = WRITINGS[writing](random.normal(size=(outputs, 4)).astype(np.float32))
    analysis = analyze(written)
    (found,) = mixing(analysis, 5, 3)
    matrix = mixing_matrix(analysis, found.node)
    assert matrix is not None
    image = random.normal(size=(1, 4, 5, 3)).astype(np.float32)
    applied = ReferenceEvaluator(written).run(None, {"x": image})
    assert isinstance(applied, list)
    np.testing.assert_allclose(np.einsum("oc,nchw->nohw", matrix, image), applied[0], atol=1e-5)
    assert found.rank == np.linalg.matrix_rank(matrix)
    assert (found.inputs, found.outputs, found.positions) == (4, outputs, 15)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_groups_are_blocks_of_one_matrix(operator: str) -> None:
    random = np.random.default_rng(4)
    weight = random.normal(size=(6, 2, 1, 1) if operator == "Conv" else (4, 3, 1, 1))
    grouped = model(f"y = {operator} <group=2> (x, w)", w=weight.astype(np.float32))
    analysis = analyze(grouped)
    (found,) = mixing(analysis, 5, 3)
    assert (found.inputs, found.outputs, found.groups, found.parameters) == (4, 6, 2, 12)
    assert (found.rank, found.full_rank) == (4, 4)
    matrix = mixing_matrix(analysis, found.node)
    assert matrix is not None
    image = random.normal(size=(2, 4, 5, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(grouped.SerializeToString())
    (expected,) = session.run(None, {"x": image})
    np.testing.assert_allclose(np.einsum("oc,nchw->nohw", matrix, image), expected, atol=1e-5)


def test_int8_weights_are_measured_as_the_numbers_they_stand_for() -> None:
    random = np.random.default_rng(5)
    weight = np.outer(random.normal(size=300), np.array([1, -1, 1, 1])).astype(np.float32)
    numbers = quantized(weight[:, :, None, None])
    analysis = analyze(model(QDQ, IMAGE, 13, **numbers))
    (found,) = mixing(analysis)
    matrix = mixing_matrix(analysis, found.node)
    assert matrix is not None
    np.testing.assert_allclose(matrix, weight, rtol=1e-6)
    assert found.rank == 1


def test_the_zero_points_of_a_quantized_operator_count() -> None:
    numbers: dict[str, Array] = {
        "w": np.array([[3, 5], [5, 3]], np.uint8)[:, :, None, None],
        "s": np.array(0.5, np.float32),
        "t": np.array([2, 4], np.float32),
        "z": np.array(0, np.uint8),
        "o": np.array([5, 5], np.uint8),
    }
    body = "y = QLinearConv (x, s, z, w, t, o, s, z)"
    analysis = analyze(model(body, "uint8[N,2,H,W] x", **numbers))
    matrix = mixing_matrix(analysis, mixing(analysis)[0].node)
    np.testing.assert_array_equal(matrix, [[-4, 0], [0, -8]])


def test_bfloat16_weights_are_read() -> None:
    import ml_dtypes

    matrix = np.eye(4).astype(ml_dtypes.bfloat16)[:, :, None, None]
    (found,) = mixing(analyze(model("y = Conv (x, w)", "bfloat16[N,4,H,W] x", 22, w=matrix)))
    assert (found.rank, found.off_diagonal) == (4, 0.0)


def test_weights_beside_the_file_are_read_and_missing_ones_are_unknown(tmp_path: Path) -> None:
    matrix = np.roll(np.eye(80, dtype=np.float32), 1, axis=0)
    onnx.save(
        model("y = Conv (x, w)", "float[N,80,H,W] x", w=matrix[:, :, None, None]),
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="net.bin",
    )
    (found,) = mixing(analyze(tmp_path / "net.onnx"))
    assert (found.rank, found.off_diagonal) == (80, 1.0)
    (tmp_path / "net.bin").unlink()
    (found,) = mixing(analyze(tmp_path / "net.onnx"))
    assert (found.rank, found.off_diagonal, found.parameters) == (None, None, 6400)


def test_a_mixing_is_json() -> None:
    found = mixed(np.eye(3, dtype=np.float32))
    assert json.loads(json.dumps(dataclasses.asdict(found)))["rank"] == 3


def test_a_model_without_a_1x1_convolution_has_no_mixing() -> None:
    assert mixing(analyze(model("y = Conv (x, w)", w=ones(4, 4, 3, 3)))) == ()


# Parameters by size


def vgg_head(image: str = "float[N,3,224,224] x") -> Analysis:
    """VGG16's pooling and first two FC layers, declared by shape alone."""
    body = """
        a = Conv <pads=[1,1,1,1]> (x, k) b = MaxPool <kernel_shape=[32,32], strides=[32,32]> (a)
        c = Flatten (b) d = Gemm <transB=1> (c, w, v) y = Gemm <transB=1> (d, u)
    """
    made = model(body, image)
    shapes = {"k": [512, 3, 3, 3], "w": [4096, 25088], "v": [4096], "u": [1000, 4096]}
    for name, dims in shapes.items():
        weight = TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT)
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="gone.bin")
        made.graph.initializer.append(weight)
    return analyze(made)


def test_the_first_fc_layer_of_vgg16_grows_with_the_image() -> None:
    """fc6 alone has 102 764 544 parameters at 224x224."""
    analysis = vgg_head()
    other = 512 * 27 + 4096 * 1000
    at, double, wide = parameters_by_size(analysis, [(224, 224), (448, 448), (320, 256)])
    assert at.node == "'d' (Gemm)"
    assert (at.map, at.layer_parameters) == ((7, 7), 102_764_544)
    assert at.parameters == analysis.parameters == 102_764_544 + other
    assert (double.map, double.layer_parameters) == ((14, 14), 512 * 14 * 14 * 4096 + 4096)
    assert (wide.map, wide.parameters) == ((10, 8), 512 * 10 * 8 * 4096 + 4096 + other)


def test_a_fully_convolutional_network_needs_the_same_at_every_size() -> None:
    analysis = analyze(model("a = Conv (x, w) y = Relu (a)", w=ones(5, 4, 3, 3)))
    found = parameters_by_size(analysis, [(3, 3), (4000, 3000)])
    assert {(by.node, by.map, by.layer_parameters, by.parameters) for by in found} == {
        (None, None, None, 180)
    }


@pytest.mark.parametrize(
    ("image", "body", "shape", "grown"),
    [
        ("float[N,4,8,8] x", "y = Conv (x, w)", (5, 4, 8, 8), 5 * 4 * 12 * 16),
        ("float[N,4,8,8] x", "a = Reshape (x, f) y = MatMul (a, w)", (64, 9), 12 * 16 * 9),
        ("float[N,4,H,8] x", "y = MatMul (x, w)", (8, 3), 16 * 3),
    ],
)
def test_what_contracts_pixels_grows_with_those_it_contracts(
    image: str, body: str, shape: tuple[int, ...], grown: int
) -> None:
    used = {"f": ints(0, 4, -1)} if "(x, f)" in body else {}
    analysis = analyze(model(body, image, w=ones(*shape), **used))
    (found,) = parameters_by_size(analysis, [(16, 12)])
    assert found.layer_parameters == grown


def test_a_size_that_does_not_reach_the_head_says_where_it_stops() -> None:
    with pytest.raises(Inadmissible, match="MaxPool"):
        parameters_by_size(vgg_head(), [(31, 224)])
