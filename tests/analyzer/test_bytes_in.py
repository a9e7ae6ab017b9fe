"""Graphs that take bytes, channels last, and answer classes: what is said of them is what is said
of the plain network inside, and ONNX Runtime agrees.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.report.compose import report
from anyres_analyzer.verify.verification import verified

WEIGHTS = {
    "k": (5, 3, 3, 3),
    "down": (4, 5, 2, 2),
    "mid": (4, 4, 3, 3),
    "up": (4, 5, 2, 2),
    "score": (6, 10, 3, 3),
    "scale": (1, 3, 1, 1),
    "five": (6, 5, 3, 3),
}
NUMBERS = {"two": "int64[1] two = {2}", "half": "float half = {0.5}"}
NETWORK = """
    a = Conv <pads=[1,1,1,1]> (planes, k)
    b = Conv <strides=[2,2]> (a, down)
    c = Conv <pads=[1,1,1,1]> (b, mid)
    d = ConvTranspose <strides=[2,2]> (c, up)
    e = Concat <axis=1> (a, d)
    logits = Conv <pads=[1,1,1,1]> (e, score)
"""
BYTES = """
    first = Transpose <perm=[0,3,1,2]> (image)
    floats = Cast <to=1> (first)
    planes = Mul (floats, scale)
"""
PLAIN = "planes = Identity (image)"
ANSWERS = {
    "logits": "answer = Identity (logits)",
    "channels last": "answer = Transpose <perm=[0,2,3,1]> (logits)",
    "softmax": "answer = Softmax <axis=1> (logits)",
    "softmax over the last": """t = Transpose <perm=[0,2,3,1]> (logits)
        answer = Softmax <axis=-1> (t)""",
    "sigmoid": "answer = Sigmoid (logits)",
    "argmax": """i = ArgMax <axis=1, keepdims=0> (logits)
        answer = Cast <to=2> (i)""",
    "argmax of one channel": """i = ArgMax <axis=1> (logits)
        answer = Cast <to=2> (i)""",
    "argmax over the last": """t = Transpose <perm=[0,2,3,1]> (logits)
        i = ArgMax <axis=3, keepdims=0> (t)
        answer = Cast <to=2> (i)""",
    "mask": """m = Greater (logits, half)
        answer = Cast <to=2> (m)""",
    "scores": """l = LogSoftmax <axis=1> (logits)
        v, answer_2 = TopK <axis=1> (l, two)
        answer = Exp (v)""",
    "classes": """v, i = TopK <axis=1> (logits, two)
        answer = Cast <to=2> (i)""",
}


def graph(pixels: str, answer: str, outputs: str = "answer") -> onnx.ModelProto:
    image = "uint8[N,H,W,3] image" if pixels == BYTES else "float[N,3,H,W] image"
    body = f"{pixels} {NETWORK} {answer}"
    given = ", ".join(f"float {name}" for name in outputs.split())
    numbers = ", ".join(text for name, text in NUMBERS.items() if f", {name})" in body)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net ({image}) => ({given}) <{numbers}> '
        f"{{ {body} }}"
    )
    random = np.random.default_rng(0)
    model.graph.initializer.extend(
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in WEIGHTS.items()
        if f", {name})" in body
    )
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False)
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    for output in model.graph.output:  # declared as float above; what it is, the graph says
        output.type.tensor_type.elem_type = types.get(output.name, _elem_type(model, output.name))
    return model


def _elem_type(model: onnx.ModelProto, name: str) -> int:
    cast = next(node for node in model.graph.node if name in node.output)
    return next((a.i for a in cast.attribute if a.name == "to"), onnx.TensorProto.FLOAT)


@pytest.fixture(scope="module")
def plain() -> Analysis:
    return analyze(graph(PLAIN, ANSWERS["logits"]))


@pytest.mark.parametrize("answer", ANSWERS)
def test_contract_field_and_tiles_are_those_of_the_plain_network(
    answer: str, plain: Analysis
) -> None:
    fitted = analyze(graph(BYTES, ANSWERS[answer]))
    assert fitted.sizes == plain.sizes
    assert fitted.sizes.height.step == 2
    assert fitted.output.dense
    assert fitted.receptive_field == plain.receptive_field
    assert fitted.tiling == plain.tiling
    assert fitted.tiling.height is not None
    assert (fitted.output.stride, fitted.output.offset) == (
        plain.output.stride,
        plain.output.offset,
    )


@pytest.mark.parametrize("answer", ANSWERS)
def test_multiply_adds_are_those_of_the_plain_network_at_any_size(
    answer: str, plain: Analysis
) -> None:
    fitted = analyze(graph(BYTES, ANSWERS[answer]))
    for size in ((32, 48), (50, 2), (128, 130)):
        assert fitted.cost(*size).macs == plain.cost(*size).macs
    with pytest.raises(Inadmissible):
        fitted.cost(31, 48)


@pytest.mark.parametrize("answer", ["logits", "argmax", "channels last"])
def test_what_bytes_are_scaled_by_is_no_parameter(answer: str, plain: Analysis) -> None:
    fitted = analyze(graph(BYTES, ANSWERS[answer]))
    assert fitted.weights == plain.weights
    assert fitted.parameters == sum(
        np.prod(WEIGHTS[name]) for name in ("k", "down", "mid", "up", "score")
    )


def test_layers_are_for_the_same_wherever_the_channels_come() -> None:
    body = """
        s = Mul ({}, scale)
        a = Conv <strides=[4,4]> (s, k)
        b = Flatten (a)
        y = Gemm (b, fc)
    """
    kinds = []
    for image, start in (
        ("float[N,3,16,16] x", "p = Identity (x)"),
        ("float[N,16,16,3] x", "p = Transpose <perm=[0,3,1,2]> (x)"),
    ):
        model = onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 18]> net ({image}) => (float y) '
            f"{{ {start} {body.format('p')} }}"
        )
        for name, shape in (("scale", (3, 1, 1)), ("k", (5, 3, 4, 4)), ("fc", (80, 7))):
            model.graph.initializer.append(
                numpy_helper.from_array(np.ones(shape, np.float32), name)
            )
        kinds.append([weight.kind for weight in analyze(model).weights])
    assert kinds[0] == kinds[1]
    assert kinds[0] == ["per-channel scale", "k x k convolution", "fc over space"]


def test_a_pixel_of_bytes_takes_one_byte_a_channel() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> net (uint8[N,H,W,3] image) => (float y) '
        "{ first = Transpose <perm=[0,3,1,2]> (image) y = Cast <to=1> (first) }"
    )
    assert analyze(model).cost(64, 32).activation_bytes == 64 * 32 * 3 * (1 + 1 + 4)


@pytest.mark.parametrize(
    ("answer", "said"),
    {
        "logits": ("logits", None, "float32", "NCHW", 6),
        "channels last": ("logits", None, "float32", "NHWC", 6),
        "softmax": ("probabilities", None, "float32", "NCHW", 6),
        "softmax over the last": ("probabilities", None, "float32", "NHWC", 6),
        "sigmoid": ("probabilities", None, "float32", "NCHW", 6),
        "argmax": ("class_map", 6, "uint8", "NHW", 1),
        "argmax of one channel": ("class_map", 6, "uint8", "NCHW", 1),
        "argmax over the last": ("class_map", 6, "uint8", "NHW", 1),
        "mask": ("mask", None, "uint8", "NCHW", 6),
        "scores": ("top_k_scores", 6, "float32", "NCHW", 2),
        "classes": ("top_k_classes", 6, "uint8", "NCHW", 2),
    }.items(),
)
def test_an_output_is_said_to_be_what_the_last_operators_make_of_it(
    answer: str, said: tuple[object, ...]
) -> None:
    output = analyze(graph(BYTES, ANSWERS[answer])).output
    found = (output.meaning, output.classes, output.dtype, output.layout, output.channels)
    assert found == said


def test_outputs_of_one_tensor_are_told_from_those_of_another() -> None:
    answers = """
        i = ArgMax <axis=1, keepdims=0> (logits)
        classes = Cast <to=2> (i)
        last = Transpose <perm=[0,2,3,1]> (logits)
        other = Conv <pads=[1,1,1,1]> (a, five)
    """
    outputs = analyze(graph(BYTES, answers, "classes last other")).outputs
    assert [output.source for output in outputs] == ["logits", "logits", "other"]
    assert [output.meaning for output in outputs] == ["class_map", "logits", "logits"]


def test_a_crop_of_probabilities_holds_probabilities_and_is_a_tensor_of_its_own() -> None:
    answers = """
        all = Softmax <axis=1> (logits)
        answer = Slice (all, one, many, sides)
    """
    model = graph(BYTES, answers, "answer logits")
    for name, value in (("one", [1, 1]), ("many", [1 << 40] * 2), ("sides", [2, 3])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    cropped, logits = analyze(model).outputs
    assert (cropped.meaning, cropped.source) == ("probabilities", "answer")
    assert (logits.meaning, logits.source) == ("logits", "logits")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("answer = ArgMax <axis=2> (logits)", "'answer' (ArgMax)"),
        ("answer = Softmax <axis=3> (logits)", "'answer' (Softmax)"),
        ("answer, i = TopK <axis=2> (logits, two)", "'answer' (TopK)"),
    ],
)
def test_the_same_operators_over_space_break_locality(answer: str, named: str) -> None:
    output = analyze(graph(BYTES, answer)).output
    assert any(breaker.startswith(named) for breaker in output.tiling.breakers)
    assert output.receptive_field is None
    assert output.meaning in ("logits", "values")


@pytest.mark.parametrize(
    ("image", "layout", "channels"),
    [
        ("uint8[N,H,W,3] image", "NHWC", 3),
        ("float[1,224,224,1] image", "NHWC", 1),
        ("uint8[N,H,W,5] image", "NHWC", 5),
        ("uint8[N,64,64,5] image", "NHWC", 5),
        ("float[N,3,H,W] image", "NCHW", 3),
    ],
)
def test_the_layout_of_the_image_is_told_from_its_dims_or_the_first_transpose(
    image: str, layout: str, channels: int
) -> None:
    first = "a = Transpose <perm=[0,3,1,2]> (image)" if layout == "NHWC" else "a = Abs (image)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net ({image}) => (float y) '
        f"{{ {first} b = Cast <to=1> (a) y = Relu (b) }}"
    )
    found = analyze(model)
    assert (found.input.layout, found.input.channels) == (layout, channels)
    assert (found.sizes.height.maximum is None) == ("H" in image)


@pytest.mark.parametrize("answer", ["argmax", "channels last", "scores"])
def test_onnx_runtime_confirms_sizes_and_tiles_of_bytes(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(graph(BYTES, ANSWERS[answer]), path)
    analysis = analyze(path)
    tried = verified(report(path.name, analysis), path, analysis)
    assert [witness.confirmed for witness in tried.witnesses] == [True, True]
    assert [check.worst_difference for check in tried.tile_checks] == [0, 0]
    assert {check.refused for check in tried.tile_checks} == {None}
