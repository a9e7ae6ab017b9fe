"""Any file may be given to `anyres analyze`: it answers, or says in one line why it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from anyres_analyzer import analyze
from anyres_analyzer.errors import AnalysisError
from anyres_client.main import main

Refused = Callable[[onnx.ModelProto | bytes], str]


def network(
    body: str, *constants: str, image: str = "float[N,1,H,W] x", opset: int = 18, more: str = ""
) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}{more}]> net ({image}) => (float y) '
        f"<{', '.join(constants)}> {{ {body} }}"
    )


def external(name: str, array: np.ndarray, location: str, **entries: int | str) -> TensorProto:
    """A tensor whose numbers are said to lie in a file."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = TensorProto(name=name, dims=array.shape, data_type=kind)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def convolution(weight: TensorProto) -> onnx.ModelProto:
    model = network("y = Conv (x, w)")
    model.graph.initializer.append(weight)
    return model


def upsampling(scales: TensorProto) -> onnx.ModelProto:
    """Its step and stride follow from the constant `s`."""
    model = network('y = Resize <mode="nearest"> (x, , s)')
    model.graph.initializer.append(scales)
    return model


@pytest.mark.parametrize("times", [10**6, 2**31 - 1])
def test_a_layer_that_makes_millions_of_pixels_of_one_is_not_looked_at_pixel_by_pixel(
    times: int,
) -> None:
    """If it were, this would take minutes, or all memory."""
    stretched = network(
        f"y = ConvTranspose <strides=[{times}, {times}]> (x, w)", "float[1,1,1,1] w = {1.0}"
    )
    scales = np.array([1, 1, times, times], np.float32)
    for model in (stretched, upsampling(numpy_helper.from_array(scales, "s"))):
        (breaker,) = analyze(model).tiling.breakers
        assert "what its outputs see repeats only after" in breaker


SCALES = np.array([1, 1, 2, 3], np.float32)
KERNEL = np.ones((1, 1, 3, 3), np.float32)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line that the command says about a model, without the command's name."""

    def ask(model: onnx.ModelProto | bytes) -> str:
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / "net.onnx").write_bytes(content)
        assert main(["analyze", str(tmp_path / "net.onnx")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("anyres analyze: ")

    return ask


# What is in the graph


GATE = """
    c = Constant <value = bool {1}> ()
    [gate] y = If (c) <then_branch = a () => (float p) { p = Identity (x) },
                       else_branch = b () => (float q) { q = Relu (x) }>
"""
BODIES = {
    "[a] t = Relu (y) [b] y = Relu (t)": "the graph has a cycle: 'b' (Relu) -> 'a' (Relu) -> 'b'",
    "[a] y = Relu (y)": "the graph has a cycle: 'a' (Relu) -> 'a' (Relu)",
    "[a] y = Relu (gone)": "node 'a' (Relu) reads 'gone', which nothing makes",
    "[a] y = Relu (x) [b] y = Abs (x)": "'y' is made twice: by node 'a' (Relu) and by node 'b'",
    "[a] x = Relu (x) y = Abs (x)": "'x' is made twice: by a constant or input and by node 'a'",
    "t = Relu (x)": "the graph's output 'y' is made by no node",
    "[a] y = Conv (x)": "node 'a' (Conv): ",
    "[a] y = Relu <stride = 2> (x)": "node 'a' (Relu): Unrecognized attribute: stride",
    "[a] y = MaxPool <kernel_shape = [2, 0]> (x)": "node 'a' (MaxPool): kernel_shape of 0",
    "[a] y = MaxPool <kernel_shape = [2, 2], strides = [0, 1]> (x)": "strides of 0",
    "[a] y = MaxPool <kernel_shape = [2]> (x)": "its window has 1 axes, its map has more",
    "[a] y = MaxPool <kernel_shape = [2, 2], pads = [1, 1]> (x)": "pads has 2 numbers",
    "[a] y = SpaceToDepth <blocksize = -2> (x)": "blocksize of -2",
    "[a] y = Upsample (x, x)": "node 'a' (Upsample)",
    "[a] y = Blur (x)": "node 'a' (Blur)",
    "s = SequenceConstruct (x) y = ConcatFromSequence <axis = 0> (s)": "sequences",
}


@pytest.mark.parametrize(("body", "sentence"), BODIES.items())
def test_a_graph_that_cannot_run_is_refused_by_its_node(
    body: str, sentence: str, refused: Refused
) -> None:
    assert sentence in refused(network(body))


def test_control_flow_is_refused_by_its_node(refused: Refused) -> None:
    assert "node 'gate' (If): control flow is not analysed" in refused(network(GATE))


@pytest.mark.parametrize(
    ("domain", "operator"),
    [("com.microsoft", "FusedConv"), ("com.microsoft", "BiasGelu"), ("ai.onnx.ml", "Unheard")],
)
def test_an_operator_that_onnx_does_not_know_is_refused_by_name(
    domain: str, operator: str, refused: Refused
) -> None:
    line = refused(network(f"[it] y = {domain}.{operator} (x)", more=f', "{domain}" : 1'))
    assert f"'it' ({operator})" in line


@pytest.mark.parametrize("opset", [0, 1, 6, 99, 2**40])
def test_operators_of_an_unknown_age_are_refused(opset: int, refused: Refused) -> None:
    assert f"opset {opset}; opsets 7 to " in refused(network("y = Relu (x)", opset=opset))


@pytest.mark.parametrize("opset", [7, onnx.defs.onnx_opset_version()])
def test_the_oldest_and_the_newest_operators_are_analysed(opset: int) -> None:
    assert analyze(network("y = Relu (x)", opset=opset)).graph.opset == opset


def test_a_model_without_standard_operators_is_refused(refused: Refused) -> None:
    model = network("y = Relu (x)")
    model.opset_import[0].domain = "elsewhere"
    assert "imports no standard ONNX operator set" in refused(model)


IMAGES = {
    "": "exactly one input, an image; it has: none",
    "float[N,3,H,W] x, float[1] threshold": "exactly one input, an image; it has: x, threshold",
    "float[N,H,W] x": "3 dimensions; an image has 4",
    "float[N,1,D,H,W] x": "5 dimensions; an image has 4",
    "float[N,0,H,W] x": "declared with a dimension of 0",
    "float[N,3,H,99999999999] x": "declared with a dimension of 99999999999",
    "string[N,3,H,W] x": "of type string; an image's pixels are numbers",
    "complex64[N,3,H,W] x": "of type complex64",
    "seq(float[N,3,H,W]) x": "no tensor of a declared rank but a sequence",
    "optional(float[N,3,H,W]) x": "but a optional",
    "float x": "0 dimensions",
}


@pytest.mark.parametrize(("image", "sentence"), IMAGES.items())
def test_an_input_that_is_no_image_is_refused_in_words(
    image: str, sentence: str, refused: Refused
) -> None:
    assert sentence in refused(network("y = Identity (x)", image=image))


def test_a_negative_dimension_is_an_open_one() -> None:
    model = network("y = Relu (x)", image="float[N,1,7,W] x")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -1
    assert analyze(model).sizes.height.verdict == "free"


def test_a_graph_without_nodes_gives_back_its_image() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> net (float[N,3,H,W] x) => (float[N,3,H,W] x) {}'
    )
    analysis = analyze(model)
    assert analysis.output.dense
    assert analysis.receptive_field is not None
    assert analysis.receptive_field.width.size == 1
    assert analysis.cost(5, 7).macs == 0


def test_old_files_list_their_weights_as_inputs() -> None:
    image = "float[N,1,H,W] x, float[1,1,3,3] w"
    weight = numpy_helper.from_array(KERNEL, "w")
    model = network("y = Conv (x, w)", image=image)
    model.ir_version = 3
    model.graph.initializer.append(weight)
    assert analyze(model).sizes.width.minimum == 3


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda t: t.dims.__setitem__(0, -1), "an impossible shape: [-1, 1, 3, 3]"),
        (lambda t: t.dims.__setitem__(0, 2**60), "an impossible shape"),
        (lambda t: setattr(t, "data_type", 99), "of no type that ONNX knows: 99"),
        (lambda t: setattr(t, "data_type", 0), "of no type that ONNX knows: 0"),
        (lambda t: setattr(t, "raw_data", b"123"), "does not hold the numbers that float"),
    ],
)
def test_a_constant_that_is_none_is_refused_by_name(
    spoil: Callable[[TensorProto], None], sentence: str, refused: Refused
) -> None:
    weight = numpy_helper.from_array(KERNEL, "w")
    spoil(weight)
    line = refused(convolution(weight))
    assert "tensor 'w'" in line
    assert sentence in line


def test_two_constants_of_one_name_are_refused(refused: Refused) -> None:
    model = convolution(numpy_helper.from_array(KERNEL, "w"))
    model.graph.initializer.append(model.graph.initializer[0])
    assert "two constants are named 'w'" in refused(model)


def test_nodes_of_one_name_stay_apart() -> None:
    constants = "float[2,1,1,1] a = {1,1}", "float[1,2,1,1] b = {1,1}"
    analysis = analyze(network("[c] t = Conv (x, a) [c] y = Conv (t, b)", *constants))
    assert [weight.node for weight in analysis.weights] == ["'t' (Conv)", "'y' (Conv)"]
    assert analysis.graph.remarks == ("2 nodes are named 'c', which ONNX Runtime refuses",)


def test_a_sparse_constant_steers_like_a_dense_one() -> None:
    """Crops 2 columns: the starts (0, 0, 0, 2) with one number that is not 0."""
    model = network("y = Slice (x, starts, ends)", "int64[4] ends = {9999,9999,9999,9999}")
    values = numpy_helper.from_array(np.array([2], np.int64), "starts")
    indices = numpy_helper.from_array(np.array([3], np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    field = analyze(model).receptive_field
    assert field is not None
    assert int(field.width.low) == 2


# What lies beside the file


def test_constants_that_steer_are_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/all.bin").write_bytes(b"\0" * 8 + SCALES.tobytes())
    model = upsampling(external("s", SCALES, "inner/all.bin", offset=8, length=16))
    onnx.save(model, tmp_path / "net.onnx")
    analysis = analyze(tmp_path / "net.onnx")
    assert [str(stride) for stride in analysis.output.stride] == ["1/2", "1/3"]


def test_a_model_without_a_folder_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.bin").write_bytes(SCALES.tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnalysisError, match="depends on pixels, or on a constant that lies in ext"):
        analyze(upsampling(external("s", SCALES, "s.bin")))


def test_missing_weights_are_remarked_and_not_needed(tmp_path: Path) -> None:
    onnx.save(convolution(external("w", KERNEL, "gone.bin")), tmp_path / "net.onnx")
    analysis = analyze(tmp_path / "net.onnx")
    assert analysis.parameters == 9
    (remark,) = analysis.graph.remarks
    assert "'gone.bin' is missing" in remark


def test_a_missing_constant_that_steers_is_needed(refused: Refused) -> None:
    assert "external data" in refused(upsampling(external("s", SCALES, "gone.bin")))


ENTRIES: dict[str, dict[str, int]] = {
    "offset of external data is '-4'": {"offset": -4},
    "declares 8 bytes of external data, its shape [4] needs 16": {"length": 8},
    "needs bytes 4 to 20 of external data 's.bin', which is 16 bytes long": {"offset": 4},
}


@pytest.mark.parametrize(("sentence", "entries"), ENTRIES.items())
def test_external_data_that_is_not_there_in_full_is_refused(
    sentence: str, entries: dict[str, int], refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "s.bin").write_bytes(SCALES.tobytes())
    line = refused(upsampling(external("s", SCALES, "s.bin", **entries)))
    assert "tensor 's'" in line
    assert sentence in line


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outside") / "secret.bin"
    path.write_bytes(SCALES.tobytes())
    return path


@pytest.mark.parametrize("way", ["absolute", "up", "link", "linked folder"])
def test_external_data_outside_the_folder_is_never_opened(
    way: str, refused: Refused, tmp_path: Path, secret: Path
) -> None:
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / "linked").symlink_to(secret.parent)
    location = {
        "absolute": str(secret),
        "up": os.path.relpath(secret, tmp_path),
        "link": "link",
        "linked folder": "linked/secret.bin",
    }[way]
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    line = refused(upsampling(external("s", SCALES, location)))
    assert f"tensor 's' lies in external data '{location}', outside the model's folder" in line
    assert str(tmp_path / "net.onnx") in opened
    assert not any("secret" in name or "link" in name for name in opened)


@pytest.mark.parametrize("location", ["", ".", "a\0b", "n" * 5000, "loop"])
def test_external_data_that_names_no_file_is_refused(
    location: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "tensor 's'" in refused(upsampling(external("s", SCALES, location)))


def test_a_pipe_is_no_model_and_no_data(
    refused: Refused, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refused(upsampling(external("s", SCALES, "pipe")))
    assert main(["analyze", str(tmp_path / "pipe")]) == 2
    assert "is no regular file" in capsys.readouterr().err


def test_a_tensor_in_an_attribute_may_not_lie_outside_the_file(refused: Refused) -> None:
    model = network("[fill] y = ConstantOfShape (s)", "int64[4] s = {1,1,2,2}")
    value = external("v", np.ones(1, np.float32), "/etc/hostname")
    model.graph.node[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(
        value
    )
    assert "node 'fill' (ConstantOfShape): an attribute that lies in external" in refused(model)


# Large files


def test_large_weights_inside_a_file_are_read_when_asked(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(5000, 1, 3, 3)).astype(np.float16)
    model = network("y = Conv (x, w)", image="float16[N,1,H,W] x")
    model.graph.initializer.append(numpy_helper.from_array(kernel, "w"))
    onnx.save(model, tmp_path / "net.onnx")
    weight = analyze(tmp_path / "net.onnx").graph.constants["w"]
    assert weight.value is None
    assert weight.stored is not None
    np.testing.assert_array_equal(weight.stored.read(), kernel)


MEASURE = """
import resource, sys
from pathlib import Path
from anyres_analyzer import analyze
folder = Path(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
analyze(folder / "small.onnx")
before = peak()
parameters = analyze(folder / "large.onnx").parameters
print(parameters, (peak() - before) / 1024)
"""


def large_inside(model: onnx.ModelProto, name: str, count: int) -> Iterator[bytes | int]:
    """A model file with `count` bytes of zeros as raw data of a tensor; a number is that many."""

    def varint(number: int) -> bytes:
        more, low = number >> 7, number & 0x7F
        return bytes([low | 0x80]) + varint(more) if more else bytes([low])

    tensor = TensorProto(name=name, dims=[count // 4, 1, 1, 1], data_type=TensorProto.FLOAT)
    head = tensor.SerializeToString() + b"\x4a" + varint(count)
    graph = model.graph.SerializeToString() + b"\x2a" + varint(len(head) + count) + head
    yield onnx.ModelProto(ir_version=8, opset_import=model.opset_import).SerializeToString()
    yield b"\x3a" + varint(len(graph) + count) + graph
    yield count


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_four_hundred_megabytes_of_weights_are_not_loaded(where: str, tmp_path: Path) -> None:
    count = 400 * 2**20
    onnx.save(convolution(numpy_helper.from_array(KERNEL, "w")), tmp_path / "small.onnx")
    if where == "beside":
        weight = external("w", KERNEL, "w.bin")
        weight.dims[:] = [count // 4, 1, 1, 1]
        onnx.save(convolution(weight), tmp_path / "large.onnx")
        with (tmp_path / "w.bin").open("wb") as file:
            file.truncate(count)
    else:
        with (tmp_path / "large.onnx").open("wb") as file:
            for piece in large_inside(network("y = Conv (x, w)"), "w", count):
                file.write(piece) if isinstance(piece, bytes) else file.truncate(
                    file.tell() + piece
                )
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    parameters, megabytes = ran.stdout.split()
    assert int(parameters) == count // 4
    assert float(megabytes) < 20


# Anything at all


def seed() -> bytes:
    """A small model with what steers: strided windows, a resize, a reshape, a head."""
    body = """
        a = Conv <strides = [2, 2], pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (x, w)
        b = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (a)
        c = Resize <mode = "nearest"> (b, , s)
        d = Concat <axis = 1> (a, c)
        e = GlobalAveragePool (d)
        f = Flatten (e)
        g = Gemm <transB = 1> (f, m)
        y = Softmax <axis = 1> (g)
    """
    kernel = f"float[2,1,3,3] w = {{{','.join('1' * 18)}}}"
    head = "float[2,4] m = {1,2,3,4,5,6,7,8}"
    return network(body, kernel, head, "float[4] s = {1,1,2,2}").SerializeToString()


SEED = seed()
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert"]),
        st.integers(0, len(SEED) - 1),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=4,
)


def edited(edits: list[tuple[str, int, int]]) -> bytes:
    content = bytearray(SEED)
    for kind, place, number in edits:
        place = min(place, max(0, len(content) - 1))
        if kind == "flip" and content:
            content[place] ^= number
        elif kind == "cut":
            del content[place : place + number % 16]
        elif kind == "insert":
            content[place:place] = bytes([number]) * (number % 4)
    return bytes(content)


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(EDITS)
@example([("cut", 0, 15)])
def test_a_broken_file_gets_an_answer_or_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edits: list[tuple[str, int, int]]
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(edited(edits))
    code = main(["analyze", str(path), "--json"])
    shown = capsys.readouterr()
    if code == 0:
        assert json.loads(shown.out)["model"] == "net.onnx"
    else:
        assert code == 2, shown.err
        assert len(shown.err.splitlines()) == 1
        assert "this is a bug" not in shown.err
