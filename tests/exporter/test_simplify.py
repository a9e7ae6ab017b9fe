"""Graphs as others give them, before and after simplification, in ONNX's own evaluator."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from anyres_analyzer import analyze
from anyres_exporter.errors import NotExportable
from anyres_exporter.rewrite.simplify import simplified
from anyres_exporter.runtime import Runtime

SHAPES = {
    "w": (4, 3, 3, 3),
    "b": (4,),
    "t": (3, 4, 2, 2),
    "m": (3, 4),
    **dict.fromkeys(("scale", "shift", "mean"), (4,)),
}
NORM = "BatchNormalization <epsilon=0.01>"
STATISTICS = "scale, shift, mean, variance"
# name: (nodes, the operators that are left)
CASES: dict[str, tuple[str, dict[str, int]]] = {
    "batch norm after a convolution": (
        f"a = Conv <pads=[1,1,1,1]> (image, w, b) n = {NORM} (a, {STATISTICS}) out = Relu (n)",
        {"Conv": 1, "Relu": 1},
    ),
    "batch norm after a transposed convolution": (
        f"a = ConvTranspose <strides=[2,2]> (image, t) out = {NORM} (a, {STATISTICS})",
        {"ConvTranspose": 1},
    ),
    "batch norm after a matrix product": (
        f"p = GlobalAveragePool (image) f = Flatten (p) a = Gemm (f, m) "
        f"out = {NORM} (a, {STATISTICS})",
        {"GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1},
    ),
    "weights and statistics that are nodes": (
        "ws = Constant <value = float[2,3,1,1] {1,2,3,4,5,6}> () "
        "s = Constant <value = float[2] {1,-2}> () v = Constant <value = float[2] {0.5,3}> () "
        f"a = Conv (image, ws) out = {NORM} (a, s, s, s, v)",
        {"Conv": 1},
    ),
    "batch norm that stands alone": (
        f"i = Conv <pads=[1,1,1,1]> (image, w) r = Relu (i) out = {NORM} (r, {STATISTICS})",
        {"Conv": 1, "Relu": 1, "BatchNormalization": 1},
    ),
    "what does nothing": (
        "i = Identity (image) d = Dropout (i) z = Constant <value = float {0}> () "
        "s = Add (d, z) o = Constant <value = float {1}> () p = Mul (s, o) "
        "q = Transpose <perm=[0,2,3,1]> (p) u = Transpose <perm=[0,3,1,2]> (q) out = Relu (u)",
        {"Relu": 1},
    ),
    "arithmetic of weights": (
        "h = Constant <value = float {0.5}> () half = Mul (w, h) out = Conv (image, half)",
        {"Conv": 1},
    ),
    "the same twice": (
        "a = Conv (image, w) r = Relu (a) c = Conv (image, same) s = Relu (c) out = Add (r, s)",
        {"Conv": 1, "Relu": 1, "Add": 1},
    ),
    "what nothing uses": ("a = Conv (image, w) e = Exp (a) out = Relu (image)", {"Relu": 1}),
    "a shape that follows from the image": (
        "s = Shape (image) n = Gather (s, zero) k = Constant <value = int64[1] {-1}> () "
        "f = Concat <axis=0> (n, k) out = Reshape (image, f)",
        {"Shape": 1, "Gather": 1, "Concat": 1, "Reshape": 1},
    ),
}


def graph(nodes: str, opset: int = 14) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net (float[n,3,h,w] image) => (float out) {{ {nodes} }}"""
    )
    weights: dict[str, Any] = {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()
    }
    weights |= {"variance": np.array([0.5, 1, 2, 3], np.float32), "same": weights["w"]}
    weights |= {"zero": np.array([0]), "two": np.array([2]), "four": np.array([4])}
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    rank = reference(model, image(1, 3, 6, 9)).ndim
    for axis in range(rank):
        model.graph.output[0].type.tensor_type.shape.dim.add(dim_param=f"out_{axis}")
    return model


def image(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def reference(model: onnx.ModelProto, given: Any) -> Any:
    (found,) = ReferenceEvaluator(model).run(None, {"image": given})
    return np.asarray(found)


def operators(model: onnx.ModelProto) -> dict[str, int]:
    return dict(Counter(node.op_type for node in model.graph.node))


@pytest.mark.parametrize("opset", [14, 18, 22])  # onnx evaluates batch norm before 14 wrongly
@pytest.mark.parametrize("name", CASES)
def test_fewer_nodes_give_the_same_numbers_at_every_size(name: str, opset: int) -> None:
    nodes, left = CASES[name]
    model = graph(nodes, opset)
    simple = simplified(model)
    onnx.checker.check_model(simple, full_check=True)
    assert operators(simple) == left
    assert {tensor.name for tensor in simple.graph.initializer} <= {
        name for node in simple.graph.node for name in node.input
    }
    for shape in [(1, 3, 6, 9), (3, 3, 11, 8)]:
        given = image(*shape)
        expected = reference(model, given)
        actual = Runtime(simple, threads=1)(given)["out"]
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_graph_that_is_given_is_not_changed_and_keeps_its_inputs_and_outputs() -> None:
    model = graph(CASES["what does nothing"][0])
    before = model.SerializeToString(deterministic=True)
    simple = simplified(model)
    assert model.SerializeToString(deterministic=True) == before
    assert simple.graph.input == model.graph.input
    assert simple.graph.output == model.graph.output


def test_a_size_that_a_file_states_of_an_inner_tensor_is_not_folded_into_it() -> None:
    model = graph(
        "a = Relu (image) s = Shape (a) h = Slice (s, two, four) l = Slice (s, zero, two) "
        "z = Concat <axis=0> (l, h) out = Resize (image, , , z)"
    )
    stated = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [1, 3, 6, 9])
    model.graph.value_info.append(stated)  # of the image that it was made with
    simple = simplified(model)
    given = image(2, 3, 11, 8)
    assert Runtime(simple, threads=1)(given)["out"].shape == given.shape


# a convolution that nothing uses asks for sizes that it can run at
@pytest.mark.parametrize("name", sorted(CASES.keys() - {"what nothing uses"}))
def test_open_axes_stay_as_open_as_they_were(name: str) -> None:
    model = graph(CASES[name][0])
    before, after = analyze(model).sizes, analyze(simplified(model)).sizes
    for was, became in ((before.height, after.height), (before.width, after.width)):
        assert (was.verdict, was.minimum, was.step) == (became.verdict, became.minimum, became.step)


def test_a_node_stays_of_the_module_that_it_came_from() -> None:
    model = graph(CASES["batch norm after a convolution"][0])
    for node in model.graph.node:
        node.metadata_props.add(key="scopes", value=node.op_type)
    notes = [
        {entry.key: entry.value for entry in node.metadata_props}
        for node in simplified(model).graph.node
    ]
    assert all(note.keys() == {"scopes"} for note in notes)
    assert notes[1] == {"scopes": "Relu"}


def test_a_graph_that_is_none_is_refused_in_one_sentence() -> None:
    model = graph(CASES["arithmetic of weights"][0])
    model.graph.node[1].output[0] = "w"
    with pytest.raises(NotExportable, match=r"cannot be simplified: .*redeclared") as refused:
        simplified(model)
    assert "\n" not in str(refused.value)
