"""What is read from a file, at every opset, and what is refused with a sentence."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from anyres_analyzer import analyze
from anyres_analyzer.errors import AnalysisError, NotAModel, UnsupportedGraph

OPSETS = (7, 9, 10, 11, 12, 13, 17, 18, 20, 22, 23)


def network(
    body: str, *weights: str, image: str = "float[N,1,H,W] x", opset: int = 18, domains: str = ""
) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}{domains}]> net ({image}) => (float y) '
        f"<{', '.join(weights)}> {{ {body} }}"
    )


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"not a model at all", b"\x08\x08"])
def test_a_file_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(NotAModel, match=r"net\.onnx is not an ONNX model"):
        analyze(path)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(network("y = Relu (x)").SerializeToString()[:-9])
    with pytest.raises(NotAModel, match="truncated"):
        analyze(path)


@pytest.mark.parametrize("name", ["missing.onnx", ""])
def test_a_path_that_holds_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match=str(tmp_path)):
        analyze(tmp_path / name)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("float[N,1,H,W] x, float[N] z", "exactly one input, an image; it has: x, z"),
        ("float[N,H,W] x", "'x' has 3 dimensions; an image has 4"),
        ("float[N,1,D,H,W] x", "'x' has 5 dimensions"),
        ("uint8[N] x", "'x' has 1 dimensions"),
        ("seq(float[N,1,H,W]) x", "no tensor of a declared rank"),
        ("float x", "'x' has 0 dimensions"),
    ],
)
def test_an_input_that_is_no_image_is_refused(image: str, sentence: str) -> None:
    with pytest.raises(UnsupportedGraph, match=sentence):
        analyze(network("y = Identity (x)", image=image))


def test_control_flow_is_refused_by_name() -> None:
    body = "c = Constant <value = bool {1}> ()\n[gate] y = If (c) <then_branch = a () => (float p) "
    branch = "{ p = Identity (x) }"
    model = network(f"{body}{branch}, else_branch = b () => (float q) {branch.replace('p', 'q')}>")
    with pytest.raises(UnsupportedGraph, match=r"'gate' \(If\): control flow"):
        analyze(model)


def test_an_operator_of_a_foreign_domain_is_refused_by_name() -> None:
    model = network("[blur] y = com.example.Blur (x)", domains=', "com.example" : 1')
    with pytest.raises(UnsupportedGraph, match=r"'blur' \(Blur\).*domain 'com.example'"):
        analyze(model)


def test_a_shape_that_depends_on_pixels_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedGraph, match=r"'a' \(NonZero\).*depends on pixels"):
        analyze(network("a = NonZero (x)\nb = Cast <to=1> (a)\ny = Relu (b)"))


def test_a_cycle_is_refused_by_its_nodes() -> None:
    with pytest.raises(NotAModel, match=r"a cycle: 'b' \(Relu\) -> 'a' \(Relu\) -> 'b' \(Relu\)"):
        analyze(network("a = Relu (b)\nb = Relu (a)\ny = Add (x, b)"))


def test_nodes_that_are_merely_unsorted_are_sorted_and_remarked() -> None:
    analysis = analyze(network("y = Add (x, b)\nb = Relu (a)\na = Relu (x)"))
    assert [node.outputs[0] for node in analysis.graph.nodes] == ["a", "b", "y"]
    assert "sorted" in analysis.graph.remarks[0]


def test_a_tensor_that_nothing_makes_is_named() -> None:
    with pytest.raises(NotAModel, match=r"'y' \(Add\) reads 'b', which nothing makes"):
        analyze(network("y = Add (x, b)"))


def test_an_output_that_nobody_makes_is_refused() -> None:
    with pytest.raises(NotAModel, match="output 'y' is made by no node"):
        analyze(network("a = Relu (x)"))


def test_a_graph_that_takes_no_size_says_what_stops_it() -> None:
    with pytest.raises(UnsupportedGraph, match=r"no side up to 1024 goes .*'y' \(Concat\)"):
        analyze(network("a = MaxPool <kernel_shape=[2,2]> (x)\n[y] y = Concat <axis=1> (x, a)"))


def test_a_declared_size_that_does_not_go_through_says_what_stops_it() -> None:
    model = network(
        "[big] y = Conv <kernel_shape=[9,9]> (x, k)",
        f"float[1,1,9,9] k = {{{','.join('1' * 81)}}}",
        image="float[1,1,8,8] x",
    )
    with pytest.raises(UnsupportedGraph, match=r"declared size does not go .*'big' \(Conv\)"):
        analyze(model)


def test_weights_in_a_missing_file_are_not_needed(tmp_path: Path) -> None:
    weight = TensorProto(name="w", dims=[64, 3, 7, 7], data_type=TensorProto.FLOAT)
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="gone.bin")
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[3, 3, 3, 3])
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "net", [image], [output], [weight]),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    analysis = analyze(tmp_path / "net.onnx")
    assert analysis.parameters == 64 * 3 * 49
    assert analysis.output.channels == 64


def test_bytes_in_become_an_analysis_like_any_other() -> None:
    analysis = analyze(network("y = Cast <to=1> (x)", image="uint8[N,3,H,W] x"))
    assert analysis.input.elem_type == TensorProto.UINT8
    assert analysis.sizes.width.verdict == "free"


def test_channels_that_are_not_declared_are_those_of_the_first_convolution() -> None:
    model = network(
        "y = Conv <group=2> (x, k)",
        f"float[4,3,1,1] k = {{{','.join('1' * 12)}}}",
        image="float[N,C,H,W] x",
    )
    assert analyze(model).input.channels == 6


def test_a_declared_batch_is_kept() -> None:
    model = network(
        "a = Reshape (x, s)\ny = Relu (a)",
        "int64[4] s = {4,1,-1,8}",
        image="float[4,1,H,8] x",
    )
    analysis = analyze(model)
    assert not analysis.input.dynamic_batch
    assert analysis.cost(24, 8).output_shape == (4, 1, 24, 8)


def test_local_functions_are_looked_into() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        net (float[N,1,H,W] x) => (float y) { y = local.Halve (x) }
        <opset_import: ["" : 18], domain: "local">
        Halve (a) => (b) { b = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a) }
        """
    )
    assert [int(stride) for stride in analyze(model).output.stride] == [2, 2]


def upsampled(opset: int) -> onnx.ModelProto:
    """Twice the size by nearest, as each opset writes it."""
    scales = "float[4] s = {1,1,2,2}"
    if opset < 9:
        return network('y = Upsample <mode="nearest", scales=[1.,1.,2.,2.]> (x)', opset=opset)
    if opset == 9:
        return network('y = Upsample <mode="nearest"> (x, s)', scales, opset=opset)
    if opset == 10:
        return network('y = Resize <mode="nearest"> (x, s)', scales, opset=opset)
    roi = ["float[0] roi = {}"] if opset < 13 else []
    call = "x, roi, s" if roi else "x, , s"
    mode = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
    return network(f"y = Resize <{mode}> ({call})", scales, *roi, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_upsampling_is_the_same_at_every_opset(opset: int) -> None:
    analysis = analyze(upsampled(opset))
    assert str(analysis.output.stride[1]) == "1/2"
    assert analysis.tiling.breakers == ()
    assert analysis.receptive_field is not None
    assert analysis.receptive_field.width.size == 1


def cropped(opset: int) -> onnx.ModelProto:
    if opset < 10:
        return network("y = Slice <axes=[3], starts=[3], ends=[100000]> (x)", opset=opset)
    constants = ("int64[1] a = {3}", "int64[1] b = {100000}", "int64[1] c = {3}")
    return network("y = Slice (x, a, b, c)", *constants, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_a_crop_is_the_same_at_every_opset(opset: int) -> None:
    field = analyze(cropped(opset)).receptive_field
    assert field is not None
    assert (int(field.width.low), int(field.width.high)) == (3, 3)


def padded(opset: int) -> onnx.ModelProto:
    if opset < 11:
        return network("y = Pad <pads=[0,0,0,2,0,0,0,1]> (x)", opset=opset)
    if opset < 18:
        return network("y = Pad (x, p)", "int64[8] p = {0,0,0,2,0,0,0,1}", opset=opset)
    return network("y = Pad (x, p, , a)", "int64[2] p = {2,1}", "int64[1] a = {3}", opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_padding_is_the_same_at_every_opset(opset: int) -> None:
    field = analyze(padded(opset)).receptive_field
    assert field is not None
    assert int(field.width.low) == -2


def averaged(opset: int) -> onnx.ModelProto:
    if opset < 18:
        return network("y = ReduceMean <axes=[1], keepdims=0> (x)", opset=opset)
    return network("y = ReduceMean <keepdims=0> (x, a)", "int64[1] a = {1}", opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_a_mean_over_channels_is_local_at_every_opset(opset: int) -> None:
    assert analyze(averaged(opset)).tiling.breakers == ()


def squeezed(opset: int) -> onnx.ModelProto:
    if opset < 13:
        return network("a = Squeeze <axes=[1]> (x)\ny = Unsqueeze <axes=[1]> (a)", opset=opset)
    return network("b = Squeeze (x, a)\ny = Unsqueeze (b, a)", "int64[1] a = {1}", opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_a_squeeze_and_its_inverse_leave_the_map_at_every_opset(opset: int) -> None:
    analysis = analyze(squeezed(opset))
    assert analysis.output.dense
    assert analysis.tiling.breakers == ()


@pytest.mark.parametrize(("opset", "local"), [(9, False), (13, False), (14, True)])
def test_batch_norm_with_statistics_of_its_own_breaks_locality(opset: int, local: bool) -> None:
    """Before opset 14 the further outputs say that it trains; from there on an attribute does."""
    outputs = "y" if opset >= 14 else "y, m, v, sm, sv"
    constants = [f"float[1] {name} = {{1}}" for name in "abcd"]
    body = f"{outputs} = BatchNormalization (x, a, b, c, d)"
    assert (not analyze(network(body, *constants, opset=opset)).tiling.breakers) == local


@pytest.mark.parametrize("opset", [7, 10, 12, 13, 22])
def test_a_dropout_with_its_mask_goes_through_at_every_opset(opset: int) -> None:
    analysis = analyze(network("y, mask = Dropout (x)", opset=opset))
    assert analysis.tiling.breakers == ()


def test_a_thousand_nodes_are_one_chain_like_any_other() -> None:
    """Half the chain's reach is 500 on each side; exact, whatever the depth."""
    kernel = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "k")
    names = ["x", *(f"t{i}" for i in range(500))]
    nodes = [helper.make_node("Conv", [a, "k"], [b], pads=[1] * 4) for a, b in pairwise(names)]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"])
    output = helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "chain", [image], [output], [kernel])
    tiling = analyze(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])).tiling
    assert tiling.width is not None
    assert (tiling.width.halo_before, tiling.width.halo_after) == (500, 500)


def test_every_refusal_is_an_analysis_error() -> None:
    assert issubclass(NotAModel, AnalysisError)
    assert issubclass(UnsupportedGraph, AnalysisError)
