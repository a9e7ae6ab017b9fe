"""Graphs in other opsets: the same numbers in ONNX Runtime as onnx's own reference gives before.

Every way in which an operator was said differently before is a row of CASES; what had no words is a
row of REFUSED, with what the error has to say.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import defs
from onnx.reference import ReferenceEvaluator

from anyres_analyzer import analyze
from anyres_exporter.errors import NotExportable
from anyres_exporter.rewrite.older.rules import RULES, WORDS
from anyres_exporter.rewrite.opset import NEWEST_WITHOUT_LOSS, OLDEST, at_opset, newest
from anyres_exporter.runtime import Runtime

NEWEST = 22  # that the tables are tested up to
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

# name: (opset it is written in, nodes from `image` (n, 4, h, w) to `out`)
CASES: dict[str, tuple[int, str]] = {
    "reduce over axes": (
        22,
        "a = Constant <value_ints=[2,3]> () out = ReduceMean <keepdims=1> (image, a)",
    ),
    "reduce over negative axes and drop them": (
        22,
        "a = Constant <value = int64[2] {-1,-2}> () out = ReduceMax <keepdims=0> (image, a)",
    ),
    "reduce over all axes": (22, "out = ReduceL2 (image)"),
    "reduce over an empty list of axes": (
        22,
        "a = Constant <value = int64[0] {}> () out = ReduceSumSquare (image, a)",
    ),
    "reduce over no axes": (
        22,
        "a = Constant <value = int64[0] {}> () "
        "out = ReduceMean <noop_with_empty_axes=1> (image, a)",
    ),
    "pad some axes": (
        22,
        "p = Constant <value = int64[4] {1,0,2,3}> () a = Constant <value = int64[2] {-1,2}> () "
        "out = Pad <mode='reflect'> (image, p, , a)",
    ),
    "pad every axis with a number": (
        22,
        "p = Constant <value = int64[8] {0,0,1,2,0,0,0,3}> () "
        "v = Constant <value = float {7}> () out = Pad (image, p, v)",
    ),
    "pad by what the graph computes": (
        22,
        "s = Shape <start=2, end=4> (image) t = Constant <value = int64[1] {8}> () "
        "m = Mod (s, t) z = Constant <value = int64[2] {0,0}> () p = Concat <axis=0> (z, m) "
        "a = Constant <value = int64[2] {2,3}> () v = Constant <value = float {-1}> () "
        "out = Pad (image, p, v, a)",
    ),
    "split into equal parts": (
        22,
        "a, b = Split <axis=1, num_outputs=2> (image) out = Sub (a, b)",
    ),
    "split with a smaller last part": (
        22,
        "a, b, c = Split <axis=1, num_outputs=3> (padded) out = Concat <axis=1> (c, a, b)",
    ),
    "split an open axis": (
        22,
        "a, b, c = Split <axis=-1, num_outputs=3> (image) out = Concat <axis=3> (c, a, b)",
    ),
    "split as it is listed": (
        22,
        "s = Constant <value = int64[2] {1,3}> () a, b = Split <axis=1> (image, s) "
        "out = Concat <axis=1> (b, a)",
    ),
    "resize some axes by scales": (
        22,
        "s = Constant <value = float[2] {2.0,1.5}> () "
        "out = Resize <axes=[2,3], mode='linear'> (image, , s)",
    ),
    "resize some axes to sizes": (
        22,
        "s = Constant <value = int64[2] {9,20}> () "
        "out = Resize <axes=[3,2], mode='nearest', nearest_mode='floor', "
        "coordinate_transformation_mode='asymmetric'> (image, , , s)",
    ),
    "resize every axis": (
        22,
        "s = Constant <value = float[4] {1,1,2,2}> () "
        "out = Resize <mode='linear', antialias=0, keep_aspect_ratio_policy='stretch'> "
        "(image, , s)",
    ),
    "a part of a shape": (22, "s = Shape <start=-2> (image) out = Cast <to=1> (s)"),
    "a shape's middle": (22, "s = Shape <start=1, end=-1> (image) out = Cast <to=1> (s)"),
    "a whole shape": (22, "s = Shape <start=0> (image) out = Cast <to=1> (s)"),
    "reshape": (
        22,
        "s = Constant <value = int64[2] {-1,4}> () out = Reshape <allowzero=1> (image, s)",
    ),
    "reshape that copies a size": (
        22,
        "s = Constant <value = int64[3] {0,0,-1}> () out = Reshape <allowzero=0> (image, s)",
    ),
    "layer norm": (22, "out = LayerNormalization <axis=-1, epsilon=0.01> (last, w4, b4)"),
    "layer norm without bias over two axes": (
        22,
        "out = LayerNormalization <axis=1> (row, w34)",
    ),
    "rms norm": (23, "out = RMSNormalization <axis=-1, epsilon=0.01> (last, w4)"),
    "group norm": (22, "out = GroupNormalization <num_groups=2, epsilon=0.01> (image, w4, b4)"),
    "gelu": (22, "out = Gelu (image)"),
    "gelu by tanh": (22, "out = Gelu <approximate='tanh'> (image)"),
    "hard swish": (22, "out = HardSwish (image)"),
    "mish": (22, "out = Mish (image)"),
    "swish": (24, "out = Swish (image)"),
    "swish with a slope": (24, "out = Swish <alpha=1.5> (image)"),
    "cast to the type of another": (
        22,
        "s = Shape (image) t = CastLike (image, s) out = Cast <to=1> (t)",
    ),
    "average pool": (
        22,
        "out = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], dilations=[1,1]> "
        "(image)",
    ),
    "average pool that rounds up": (
        22,
        "out = AveragePool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (image)",
    ),
    "average pool that counts its padding and rounds up": (
        22,
        "out = AveragePool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1, "
        "count_include_pad=1> (image)",
    ),
    "norm pool": (
        22,
        "out = LpPool <kernel_shape=[2,2], strides=[2,2], dilations=[1,1], ceil_mode=0> (image)",
    ),
    "batch norm": (
        22,
        "out = BatchNormalization <epsilon=0.01, training_mode=0> (image, w4, b4, b4, v4)",
    ),
    "scatter": (
        22,
        "i = Constant <value = int64[1,1] {0}> () u = Shape (image) "
        "c = Cast <to=1> (u) r = Constant <value = int64[2] {1,4}> () d = Reshape (c, r) "
        "o = ScatterND <reduction='none'> (w34, i, d) out = Identity (o)",
    ),
    "sample a grid": (
        22,
        "z = Constant <value = float {0.25}> () two = Slice (image, i0, i2, i1) "
        "t = Transpose <perm=[0,2,3,1]> (two) g = Mul (t, z) "
        "out = GridSample <mode='linear', padding_mode='border', align_corners=1> (image, g)",
    ),
    "cast": (22, "h = Cast <to=10, saturate=1> (image) out = Cast <to=1> (h)"),
}
SINCE = {"sample a grid": 16}
_BEFORE = """
    pw = Constant <value = int64[8] {0,0,0,0,0,1,0,0}> () padded = Pad (image, pw)
    last = Transpose <perm=[0,2,3,1]> (image)
    rs = Constant <value = int64[3] {-1,3,4}> () row = Reshape (image, rs)
"""
_WEIGHTS = {
    "w4": np.array([1, -2, 0.5, 3], np.float32),
    "b4": np.array([0, 1, -1, 0.25], np.float32),
    "v4": np.array([1, 2, 0.5, 4], np.float32),
    "i0": np.array([0]),
    "i1": np.array([1]),
    "i2": np.array([2]),
    "w34": np.arange(12, dtype=np.float32).reshape(3, 4) - 5,
}


def graph(opset: int, nodes: str, *, shaped: bool = True) -> onnx.ModelProto:
    """A model of one image; only what `nodes` uses of what stands before it."""
    before = [line for line in _BEFORE.strip().splitlines() if f"{_made(line)}" in nodes]
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : {opset}]>
        net (float[n,4,h,w] image) => (float out) {{ {" ".join(before)} {nodes} }}""".replace(
            "'", '"'
        )
    )
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}"
    for name, values in _WEIGHTS.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    shape = model.graph.output[0].type.tensor_type.shape
    rank = reference(model, image(1, 4, 6, 9)).ndim if shaped else 2
    for index in range(rank):
        shape.dim.add(dim_param=f"out_{index}")
    return model


def reference(model: onnx.ModelProto, given: Floats) -> Floats:
    """By onnx's own evaluator, in the opset that the model was written in."""
    (found,) = ReferenceEvaluator(model).run(None, {"image": given})
    return np.asarray(found)


def _made(line: str) -> str:
    return line.split(" = ")[-2].split()[-1]


def image(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("opset", range(OLDEST, NEWEST + 1))
@pytest.mark.parametrize("name", CASES)
def test_an_older_opset_gives_the_numbers_of_the_newer(name: str, opset: int) -> None:
    source, nodes = CASES[name]
    if opset < SINCE.get(name, OLDEST):
        pytest.skip("there was nothing like it")
    model = graph(source, nodes)
    older = at_opset(model, opset)
    assert {entry.version for entry in older.opset_import} == {opset}
    for shape in [(1, 4, 6, 9), (2, 4, 13, 12)]:
        given = image(*shape)
        expected = reference(model, given)
        actual = Runtime(older, threads=1)(given)["out"]
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6)


# name: (opset it is written in, nodes, the opset asked for, what the error says)
REFUSED: dict[str, tuple[int, str, int, str]] = {
    "an operator": (22, "out = Trilu (image)", 13, "'node_0' .Trilu.* opset 13: .* with opset 14"),
    "a grid": (22, "out = GridSample (image, last)", 15, "GridSample.* with opset 16"),
    "a word": (
        22,
        "p = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> () out = Pad <mode='wrap'> (image, p)",
        18,
        "mode 'wrap' came with opset 19",
    ),
    "a way to reduce": (
        22,
        "i = Constant <value = int64[1,1] {0}> () r = Constant <value = float[1,4] {1,2,3,4}> () "
        "out = ScatterND <reduction='add'> (w34, i, r)",
        15,
        "it had no reduction",
    ),
    "a newer way to reduce": (
        22,
        "i = Constant <value = int64[1,1] {0}> () r = Constant <value = float[1,4] {1,2,3,4}> () "
        "out = ScatterND <reduction='max'> (w34, i, r)",
        17,
        "reduction 'max' came with opset 18",
    ),
    "a smoother resize": (
        22,
        "s = Constant <value = float[4] {1,1,0.5,0.5}> () "
        "out = Resize <mode='linear', antialias=1> (image, , s)",
        17,
        "Resize.* it had no antialias",
    ),
    "holes in a pool": (
        22,
        "out = AveragePool <kernel_shape=[2,2], dilations=[2,2]> (image)",
        18,
        "it had no dilations",
    ),
    "axes that are computed": (
        22,
        "s = Shape <start=0, end=1> (image) out = ReduceMax (image, s)",
        17,
        "axes are computed",
    ),
    "a statistic that is used": (
        22,
        "a, m = LayerNormalization (last, w4, b4) out = Add (a, m)",
        16,
        "its mean or deviation is used",
    ),
    "half precision": (
        22,
        "h = Cast <to=10> (last) w = Cast <to=10> (w4) "
        "n = LayerNormalization (h, w) out = Cast <to=1> (n)",
        16,
        "statistics are of another type",
    ),
    "a type": (
        22,
        "h = Cast <to=16> (image) r = Relu (h) m = HardSigmoid (r) out = Cast <to=1> (m)",
        21,
        "HardSigmoid.* is a tensor.bfloat16., which it did not take",
    ),
    "an empty tensor": (
        22,
        "s = Constant <value = int64[2] {0,4}> () e = Reshape <allowzero=1> (image, s) "
        "out = Concat <axis=0> (e, w34)",
        13,
        "it makes an empty tensor",
    ),
    "an opset too old": (13, "out = Relu (image)", 12, "opset 12 is too old; ask for 13 or newer"),
}


UNSHAPED = {"a grid", "an empty tensor"}  # what onnx's evaluator does not run


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_older_opset_has_no_words_for_is_refused_by_the_name_of_its_node(name: str) -> None:
    source, nodes, opset, words = REFUSED[name]
    with pytest.raises(NotExportable, match=words) as refused:
        at_opset(graph(source, nodes, shaped=name not in UNSHAPED), opset)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("opset", [13, 16, 18, 20, 22])
def test_a_graph_of_an_older_opset_comes_to_a_newer_one(opset: int) -> None:
    model = graph(11, "a = ReduceMean <axes=[2], keepdims=1> (image) out = Sub (image, a)")
    newer = at_opset(model, opset)
    given = image(2, 4, 7, 5)
    assert {entry.version for entry in newer.opset_import} == {opset}
    np.testing.assert_allclose(
        Runtime(newer, threads=1)(given)["out"], reference(model, given), rtol=1e-6, atol=1e-6
    )


def test_a_graph_that_is_of_the_opset_already_is_left_alone() -> None:
    model = graph(17, "out = Relu (image)")
    assert at_opset(model, 17) is model


def test_the_graph_that_is_given_is_not_changed() -> None:
    model = graph(22, CASES["layer norm"][1])
    before = model.SerializeToString(deterministic=True)
    at_opset(model, 13)
    assert model.SerializeToString(deterministic=True) == before


def test_a_node_that_takes_another_s_place_comes_from_the_same_module() -> None:
    model = graph(22, "out = Gelu (image)")
    model.graph.node[0].metadata_props.add(key="scopes", value="['body']")
    for node in at_opset(model, 13).graph.node:
        assert [(entry.key, entry.value) for entry in node.metadata_props] == [
            ("scopes", "['body']")
        ]


@pytest.mark.parametrize("name", ["pad by what the graph computes", "a part of a shape", "reshape"])
@pytest.mark.parametrize("opset", [13, 17])
def test_open_axes_stay_as_open_as_they_were(name: str, opset: int) -> None:
    model = graph(*CASES[name])
    before, after = analyze(model).sizes, analyze(at_opset(model, opset)).sizes
    for was, became in ((before.height, after.height), (before.width, after.width)):
        assert (was.verdict, was.minimum, was.step) == (became.verdict, became.minimum, became.step)


def test_the_newest_opset_is_one_that_onnx_runtime_loads_and_torch_writes() -> None:
    assert 18 <= newest() <= NEWEST_WITHOUT_LOSS
    Runtime(graph(newest(), "out = Relu (image)"))


# Every operator whose definition came to say more than new types, looked at one by one.
SAY_THE_SAME_BY_DEFAULT = """
    BatchNormalization 14  Cast 19  CastLike 19  DequantizeLinear 21  GRU 14  LSTM 14  LpPool 18
    OptionalHasElement 18  QuantizeLinear 19  RNN 14  ScatterElements 16  ScatterND 16
"""


def test_every_operator_that_changed_by_more_than_its_types_is_known() -> None:
    known = {(name, since) for name, (since, _) in RULES.items()}
    words = SAY_THE_SAME_BY_DEFAULT.split()
    known |= {(name, int(since)) for name, since in zip(words[::2], words[1::2], strict=True)}
    known |= {(operator, since) for (operator, _, _), since in WORDS.items()}
    assert changed(OLDEST, NEWEST) <= known


def changed(oldest: int, newest: int) -> set[tuple[str, int]]:
    """Operators that were there before, and the opset of a definition with another signature."""
    versions: dict[str, list[defs.OpSchema]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= newest:
            versions.setdefault(schema.name, []).append(schema)
    found = set()
    for name, schemas in versions.items():
        ordered = sorted(schemas, key=lambda schema: schema.since_version)
        for before, after in pairwise(ordered):
            if after.since_version > oldest and signature(before) != signature(after):
                found.add((name, after.since_version))
    return found


def signature(schema: defs.OpSchema) -> object:
    attributes = {
        name: (attribute.type, attribute.required, str(attribute.default_value))
        for name, attribute in schema.attributes.items()
    }
    counts = (schema.min_input, schema.max_input, schema.min_output, schema.max_output)
    return attributes, counts
