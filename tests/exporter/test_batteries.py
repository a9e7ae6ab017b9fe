"""Batteries in the graph: ONNX Runtime against numpy on the plain network's own scores, and
against the same in PyTorch eager.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from anyres_client.main import main
from anyres_proto.card import Card, ImageInput

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402

from anyres_analyzer import analyze  # noqa: E402
from anyres_exporter.errors import BadRecipe  # noqa: E402
from anyres_exporter.proof.compare import compare, noise  # noqa: E402
from anyres_exporter.proof.original import Original  # noqa: E402
from anyres_exporter.proof.sizes import sizes_of  # noqa: E402
from anyres_exporter.rewrite.any_size import AnySize, wrapped  # noqa: E402
from anyres_exporter.rewrite.batteries.batteries import AnswerKind, Batteries  # noqa: E402
from anyres_exporter.rewrite.batteries.eager import Fitted, pixels  # noqa: E402
from anyres_exporter.rewrite.batteries.fitted import fitted  # noqa: E402
from anyres_exporter.rewrite.pad_rule import pad_rule  # noqa: E402
from anyres_exporter.runtime import Runtime  # noqa: E402
from anyres_exporter.trace.trace import trace, traceable  # noqa: E402

Array = NDArray[Any]

IMAGENET = ImageInput(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
BLUE_FIRST = ImageInput(colour="BGR", scale=1.0, mean=(103.9, 116.8, 123.7))
INPUTS = {"imagenet": IMAGENET, "blue first": BLUE_FIRST, "as they are": ImageInput(scale=1.0)}
ANSWERS: tuple[AnswerKind, ...] = ("logits", "softmax", "sigmoid", "argmax", "top_k", "mask")


def network(
    channels: int = 3, classes: int = 5, opset: int = 17, last: str = "", output: str = "logits"
) -> onnx.ModelProto:
    """A stepped network in ONNX text, with seeded weights."""
    scores = "scores" if last else output
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]>'
        f"net (float[N,{channels},H,W] image) => (float[N,{classes},P,Q] {output}) {{"
        "  a = Conv <pads=[1,1,1,1]> (image, w1)"
        "  d = Conv <strides=[2,2]> (a, w2)"
        "  u = ConvTranspose <strides=[2,2]> (d, w3)"
        "  c = Concat <axis=1> (a, u)"
        f"  {scores} = Conv <pads=[1,1,1,1]> (c, w4) {last} }}"
    )
    random = np.random.default_rng(3)
    shapes = ((4, channels, 3, 3), (6, 4, 2, 2), (6, 4, 2, 2), (classes, 8, 3, 3))
    for index, shape in enumerate(shapes):
        weights = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        model.graph.initializer.append(
            numpy_helper.from_array(weights.astype(np.float32), f"w{index + 1}")
        )
    return model


def fit(graph: onnx.ModelProto, image: ImageInput = IMAGENET, **asked: Any) -> onnx.ModelProto:
    return fitted(graph, image, Batteries(**asked), analyze(graph))


def planes(images: Array, image: ImageInput) -> Array:
    """What the plain network is fed for bytes (n, h, w, rgb), by numpy."""
    ordered = images[..., ::-1] if image.colour == "BGR" else images
    values = ordered.astype(np.float64) * image.scale
    normal = (values - np.array(image.mean)) / np.array(image.std)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2)).astype(np.float32)


def softmax(scores: Array) -> Array:
    raised = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def by_numpy(scores: Array, asked: Batteries) -> dict[str, Array]:
    """The answer to the plain network's scores."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, : asked.k]
    sigmoid = 1 / (1 + np.exp(-scores.astype(np.float64)))
    return {
        "logits": {},
        "softmax": {"probabilities": softmax(scores)},
        "sigmoid": {"probabilities": sigmoid},
        "argmax": {"classes": scores.argmax(axis=1)},
        "top_k": {
            "classes": order,
            "confidences": np.take_along_axis(softmax(scores), order, axis=1),
        },
        "mask": {"mask": sigmoid > asked.threshold},
    }[asked.answer]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("layout", "keep"), [("NCHW", True), ("NHWC", False)])
def test_bytes_in_and_answers_out_are_what_numpy_makes_of_the_plain_network(
    answer: AnswerKind, layout: Any, keep: bool
) -> None:
    plain, asked = network(), Batteries("bytes", answer, 2, 0.7, layout, keep)
    ours, theirs = Runtime(fitted(plain, IMAGENET, asked, analyze(plain))), Runtime(plain)
    for size in ((2, 3, 16, 10), (1, 3, 2, 40)):
        images = pixels(*size)
        scores = theirs(planes(images, IMAGENET))["logits"]
        expected = by_numpy(scores, asked)
        if keep or answer == "logits":
            expected["logits"] = scores
        actual = ours(images)
        assert tuple(actual) == tuple(expected)
        for name, value in expected.items():
            turned = value.ndim == 4 and layout == "NHWC"
            placed = value.transpose(0, 2, 3, 1) if turned else value
            assert actual[name].shape == placed.shape
            whole = not np.issubdtype(value.dtype, np.floating)
            assert actual[name].dtype == (np.uint8 if whole else np.float32)
            assert np.abs(actual[name].astype(float) - placed).max() < (1e-9 if whole else 1e-4)


@pytest.mark.parametrize("image", INPUTS)
def test_bytes_are_red_first_whatever_the_network_inside_takes(image: str) -> None:
    spec, plain = INPUTS[image], network()
    images = pixels(1, 3, 12, 14)
    actual = Runtime(fit(plain, spec, pixels="bytes"))(images)["logits"]
    expected = Runtime(plain)(planes(images, spec))["logits"]
    assert np.abs(actual - expected).max() < 1e-5 * np.abs(expected).max()
    other = Runtime(plain)(planes(images[..., ::-1], spec))["logits"]
    assert np.abs(actual - other).max() > 0.01 * np.abs(expected).max()


def test_the_input_said_of_a_fitted_network_is_what_it_takes() -> None:
    taken = Batteries("bytes").input(BLUE_FIRST)
    assert (taken.dtype, taken.layout, taken.colour) == ("uint8", "NHWC", "RGB")
    assert taken.mean == (123.7, 116.8, 103.9)
    assert Batteries(answer="argmax").input(BLUE_FIRST) == BLUE_FIRST
    grey = ImageInput(channels=1, colour="GRAY", mean=(0.5,), std=(0.5,))
    assert Batteries("bytes").input(grey).colour == "GRAY"


@pytest.mark.parametrize("channels", [1, 5])
def test_grey_and_many_banded_images_come_as_bytes_too(channels: int) -> None:
    spec = ImageInput(channels=channels, mean=(0.3,) * channels, std=(0.5,) * channels)
    plain, images = network(channels), pixels(2, channels, 8, 6)
    graph = fit(plain, spec, pixels="bytes", answer="argmax")
    assert analyze(graph).input.layout == "NHWC"
    expected = Runtime(plain)(planes(images, spec))["logits"].argmax(axis=1)
    assert (Runtime(graph)(images)["classes"] == expected).all()


def test_pixels_that_need_no_arithmetic_get_none() -> None:
    kinds = {
        node.op_type for node in fit(network(), INPUTS["as they are"], pixels="bytes").graph.node
    }
    assert not kinds & {"Mul", "Add"}


@pytest.mark.parametrize(("classes", "dtype"), [(256, "uint8"), (300, "uint16")])
def test_class_indices_take_the_smallest_type_that_holds_them(classes: int, dtype: str) -> None:
    plain = network(classes=classes)
    images = pixels(1, 3, 12, 12)
    expected = Runtime(plain)(planes(images, IMAGENET))["logits"].argmax(axis=1)
    for answer in ("argmax", "top_k"):
        classes_of = Runtime(fit(plain, pixels="bytes", answer=answer, k=1))(images)["classes"]
        assert classes_of.dtype == dtype
        assert (classes_of.reshape(expected.shape) == expected).all()
    assert (expected.max() > 255) == (classes > 256)


@pytest.mark.parametrize("keep", [True, False])
def test_a_mask_of_one_channel_is_a_map_without_channels(keep: bool) -> None:
    plain = network(classes=1)
    graph = fit(plain, pixels="bytes", answer="mask", threshold=0.9, keep_logits=keep)
    images = pixels(2, 3, 8, 8)
    scores = Runtime(plain)(planes(images, IMAGENET))["logits"]
    mask = Runtime(graph)(images)["mask"]
    assert mask.shape == (2, 8, 8)
    assert mask.dtype == np.uint8
    assert (mask == (scores[:, 0] > np.log(9))).all()
    assert 0 < mask.mean() < 1


def test_a_network_that_answers_probabilities_is_not_squashed_twice() -> None:
    plain = network(last="logits = Softmax <axis=1> (scores)")
    images = pixels(1, 3, 8, 8)
    given = Runtime(plain)(planes(images, IMAGENET))["logits"]
    best = Runtime(fit(plain, pixels="bytes", answer="top_k", k=2))(images)
    assert np.abs(best["confidences"] - np.sort(given, axis=1)[:, :-3:-1]).max() < 1e-5
    mask = Runtime(fit(plain, pixels="bytes", answer="mask", threshold=0.3))(images)["mask"]
    assert (mask == (given > 0.3)).mean() > 0.99
    with pytest.raises(BadRecipe, match="made of probabilities already"):
        fit(plain, answer="softmax")


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_a_graph_keeps_its_opset(opset: int) -> None:
    plain = network(opset=opset)
    images = pixels(1, 3, 8, 8)
    scores = Runtime(plain)(planes(images, IMAGENET))["logits"]
    for answer in ANSWERS:
        graph = fit(plain, pixels="bytes", answer=answer, k=2, layout="NHWC", keep_logits=True)
        assert graph.opset_import[0].version == opset
        kept = Runtime(graph)(images)["logits"].transpose(0, 3, 1, 2)
        assert np.abs(kept - scores).max() < 1e-4


def test_an_answer_takes_no_name_that_the_network_has() -> None:
    plain = network(output="classes")
    plain.graph.node[0].output[0] = plain.graph.node[1].input[0] = "mask"
    plain.graph.node[3].input[0] = "mask"
    images = pixels(1, 3, 8, 8)
    scores = Runtime(plain)(planes(images, IMAGENET))["classes"]
    kept = Runtime(fit(plain, pixels="bytes", answer="argmax", keep_logits=True))(images)
    assert tuple(kept) == ("network_classes", "classes")
    assert (kept["network_classes"] == scores.argmax(axis=1)).all()
    mask = Runtime(fit(plain, pixels="bytes", answer="mask"))(images)["mask"]
    assert (mask == (scores > 0)).all()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_what_is_known_of_the_plain_network_is_found_in_the_fitted_graph(
    answer: AnswerKind, layout: Any
) -> None:
    plain = analyze(network())
    graph = analyze(fit(network(), pixels="bytes", answer=answer, k=2, layout=layout))
    assert graph.sizes == plain.sizes
    assert graph.tiling == plain.tiling
    assert graph.tiling.height is not None
    assert graph.receptive_field == plain.receptive_field
    assert graph.output.dense
    assert graph.cost(64, 66).macs == plain.cost(64, 66).macs
    assert graph.parameters == plain.parameters
    meanings = {
        "logits": "logits",
        "softmax": "probabilities",
        "sigmoid": "probabilities",
        "argmax": "class_map",
        "top_k": "top_k_classes",
        "mask": "mask",
    }
    assert graph.output.meaning == meanings[answer]


def test_a_card_stamped_on_a_fitted_graph_says_what_goes_in_and_what_comes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(fit(network(), pixels="bytes", answer="top_k", k=2, keep_logits=True), path)
    assert main(["card", "stamp", str(path)]) == 0
    card = Card.model_validate_json(onnx.load(path).metadata_props[0].value)
    assert (card.input.dtype, card.input.layout) == ("uint8", "NHWC")
    said = [(each.name, each.meaning, each.dtype, each.classes) for each in card.outputs]
    assert said == [
        ("classes", "top_k_classes", "uint8", 5),
        ("confidences", "top_k_scores", "float32", 5),
        ("logits", "logits", "float32", None),
    ]
    assert {each.source for each in card.outputs} == {"logits"}
    assert card.provenance["assumed"] == "input.colour, output.meaning"
    capsys.readouterr()
    assert main(["card", "show", str(path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "'image', 3 channels, RGB, bytes, channels last as they were decoded",
        "'classes', the 2 best classes of 5: a map",
        "'confidences', the 2 best probabilities of 5: a map",
        "'logits', 5 channels of logits: a map",
    ):
        assert words in shown


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "too many": ({}, {"answer": "top_k", "k": 6}, "top-k of 6: 'logits' has 5 channels"),
    "none": ({}, {"answer": "top_k", "k": 0}, "top-k of 0"),
    "one class": ({"classes": 1}, {"answer": "argmax"}, "has one channel: ask for a mask"),
    "no probability": ({}, {"answer": "mask", "threshold": 1.0}, "between 0 and 1"),
    "made already": (
        {"last": "i = ArgMax <axis=1> (scores) logits = Cast <to=1> (i)"},
        {"answer": "argmax"},
        "no argmax can be made of output 'logits', a class_map",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_a_network_is_refused_in_a_line(case: str) -> None:
    made, asked, sentence = REFUSED[case]
    with pytest.raises(BadRecipe, match=sentence) as error:
        fit(network(**made), **asked)
    assert "\n" not in str(error.value)


def test_a_graph_that_takes_bytes_already_is_refused() -> None:
    with pytest.raises(BadRecipe, match="'image' is uint8 NHWC; expected floats"):
        fit(fit(network(), pixels="bytes"), pixels="bytes")


class Extremes(nn.Module):
    """A classifier by two numbers of each colour."""

    def forward(self, image: Tensor) -> Tensor:
        """(n, 6)."""
        scores: Tensor = torch.cat((image.mean((2, 3)), image.amax((2, 3))), 1)
        return scores


class Two(nn.Module):
    """A stepped network with two maps and a vector."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.down = nn.Conv2d(6, 6, 2, stride=2)
        self.up = nn.ConvTranspose2d(6, 6, 2, stride=2)
        self.score = nn.Conv2d(12, classes, 3, padding=1)
        self.depth = nn.Conv2d(6, 1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Scores of every pixel, and how far it is."""
        near = self.stem(image).relu()
        far = self.up(self.down(near).relu())
        return {"score": self.score(torch.cat((near, far), 1)), "depth": self.depth(near)}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, onnx.ModelProto]:
    torch.manual_seed(0)
    model, example = Two().eval(), torch.zeros(2, 3, 16, 16)
    flat, names = traceable(model, example)
    log = Path(tmp_path_factory.mktemp("trace")) / "log"
    return model, trace(flat, example, names, dynamic_size=True, opset=20, log=log)


@pytest.mark.parametrize("answer", ANSWERS)
def test_eager_proves_the_graph_at_sizes_of_every_residue(
    answer: AnswerKind, traced: tuple[nn.Module, onnx.ModelProto]
) -> None:
    model, plain = traced
    for asked in (
        Batteries("bytes", answer, 3, 0.4, "NHWC", keep_logits=True),
        Batteries("bytes", answer, 3, 0.4),
        Batteries("float", answer, 3, 0.4),
    ):
        graph = fitted(plain, BLUE_FIRST, asked, analyze(plain))
        oracle = Fitted(model, BLUE_FIRST, asked)
        images = pixels if asked.pixels == "bytes" else noise
        outputs = tuple(oracle(torch.from_numpy(images(1, 3, 4, 4))))
        assert Runtime(graph).outputs == outputs
        assert outputs[-1] == "depth"
        sizes = [*sizes_of(analyze(graph))[:3], (3, 18, 22)]
        for comparison in compare(oracle, graph, sizes, 3, images=images):
            assert comparison.agrees, comparison.said()


def test_a_graph_that_was_given_proves_itself_with_batteries() -> None:
    plain = network()
    asked = Batteries("bytes", "top_k", 2, layout="NHWC", keep_logits=True)
    graph = fitted(plain, IMAGENET, asked, analyze(plain))
    oracle = Fitted(Original(plain), IMAGENET, asked)
    for comparison in compare(oracle, graph, [(1, 8, 8), (3, 4, 6)], 3, images=pixels):
        assert comparison.agrees, comparison.said()


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_padding_inside_is_that_of_the_networks_own_input(
    mode: Any, traced: tuple[nn.Module, onnx.ModelProto]
) -> None:
    model, plain = traced
    rule = pad_rule(analyze(plain), mode)
    assert rule is not None
    padded = wrapped(plain, rule)
    asked = Batteries("bytes", "argmax", keep_logits=True)
    graph = fitted(padded, IMAGENET, asked, analyze(padded))
    assert analyze(graph).sizes.height.step == 1
    oracle = Fitted(AnySize(model, rule).eval(), IMAGENET, asked)
    sizes = [(1, h, w) for h, w in ((1, 1), (1, 2), (5, 3), (7, 8), (8, 31))]
    for comparison in compare(oracle, graph, sizes, 3, images=pixels):
        assert comparison.agrees, comparison.said()


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_classifier_answers_once_an_image(answer: AnswerKind) -> None:
    plain = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]>'
        "net (float[N,3,H,W] image) => (float[N,6] logits) <int64[2] hw = {2,3}> {"
        "  a = ReduceMean <keepdims=0> (image, hw) b = ReduceMax <keepdims=0> (image, hw)"
        "  logits = Concat <axis=1> (a, b) }"
    )
    asked = Batteries("bytes", answer, 2, layout="NHWC", keep_logits=True)
    graph = fitted(plain, IMAGENET, asked, analyze(plain))
    oracle = Fitted(Extremes(), IMAGENET, asked)
    for comparison in compare(oracle, graph, [(3, 9, 7), (1, 2, 3)], 3, images=pixels):
        assert comparison.agrees, comparison.said()


def test_nothing_asked_for_is_nothing_done() -> None:
    assert not Batteries().any
    assert not Batteries(keep_logits=True, k=3).any
    assert all(
        replace(Batteries(), **{name: value}).any  # type: ignore[arg-type]
        for name, value in (("pixels", "bytes"), ("answer", "mask"), ("layout", "NHWC"))
    )
    assert list(fit(network()).graph.node) == list(network().graph.node)
