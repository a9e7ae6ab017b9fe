"""Faster variants: what is written, what is refused, and what is kept in fp32."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from rich.console import Console
from tests.exporter.precision_nets import (
    inputs,
    network,
    random_weights,
    save_scenes,
    saved,
    unet,
)

from anyres_analyzer import analyze
from anyres_exporter.card.precision_table import table
from anyres_exporter.card.stamp import card_text
from anyres_exporter.errors import BadPicture, BadRecipe, NotFaster, NotProven
from anyres_exporter.precision.record import card_of
from anyres_exporter.precision.request import Asked, Kind
from anyres_exporter.precision.variant import Made, faster
from anyres_exporter.runtime import Runtime, first
from anyres_proto.card import Card

KINDS: tuple[Kind, ...] = ("int8", "fp16", "weights-fp16")
SIDE = 32  # small, as speed is no matter here


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scenes(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(unet(), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def made(model: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Made]:
    out = tmp_path_factory.mktemp("variants")
    return {kind: faster(model, Asked(kind, scenes, side=SIDE), out) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_variant_is_a_file_with_a_card_that_says_how_it_compares(
    made: dict[Kind, Made], kind: Kind
) -> None:
    path = made[kind].path
    assert path.name == f"net-{kind}.onnx"
    card = Card.model_validate_json(card_text(path) or "")
    assert card == made[kind].card
    assert card.name == f"net-{kind}"
    found = card.precision
    assert found is not None
    assert found.kind == kind
    assert (found.calibration, found.pictures) == (3 if kind == "int8" else 0, 3)
    assert found.kept == ()
    assert found.speedup > 0
    assert found.timed_at == (SIDE, SIDE)
    assert card.proofs == ()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_card_says_is_what_the_held_out_pictures_say(
    made: dict[Kind, Made], model: Path, scenes: Path, kind: Kind
) -> None:
    fp32, variant = Runtime(model), Runtime(made[kind].path)
    held_out = inputs(scenes)[1::2]
    same = errors = answers = 0.0
    worst = 0.0
    for image in held_out:
        image = image[..., : image.shape[2] // 2 * 2, : image.shape[3] // 2 * 2]
        right, wrong = first(fp32(image)), first(variant(image))
        same += (right.argmax(1) == wrong.argmax(1)).sum()
        answers += right[0, 0].size
        errors += np.abs(right - wrong).sum() / right.shape[1]
        worst = max(worst, float(np.abs(right - wrong).max()))
    found = made[kind].precision
    assert found.agreement >= 0.99
    # On a CPU, fp16 is judged by a rehearsal that rounds more often than the runtime does.
    rough = kind == "fp16"
    assert found.agreement == pytest.approx(same / answers, abs=2e-3 if rough else 1e-9)
    assert found.max_abs_error == pytest.approx(worst, rel=1 if rough else 1e-5)
    assert found.mean_abs_error == pytest.approx(errors / answers, rel=1 if rough else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_field_and_tiles_are_those_of_the_model(
    made: dict[Kind, Made], model: Path, kind: Kind
) -> None:
    whole, variant = analyze(model), analyze(made[kind].path)
    assert made[kind].card.sizes.width.step == 2
    assert (variant.tiling, variant.receptive_field) == (whole.tiling, whole.receptive_field)
    for height, width in [(2, 2), (18, 62), (64, 30)]:
        image = np.zeros((1, 3, height, width), np.float32)
        assert first(Runtime(made[kind].path)(image)).shape == (1, 4, height, width)


@pytest.mark.parametrize("kind", KINDS)
def test_input_and_outputs_stay_float32(made: dict[Kind, Made], kind: Kind) -> None:
    graph = onnx.load(made[kind].path).graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert types == {TensorProto.FLOAT}


def test_int8_computes_in_bytes_from_the_first_layer_to_the_last(made: dict[Kind, Made]) -> None:
    graph = onnx.load(made["int8"].path).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    of = {tensor.name: tensor.data_type for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 4
    assert not any(node.op_type == "Relu" for node in graph.node)  # a range from 0 cuts as it does
    for node in convolutions:
        assert [makers[name] for name in node.input] == ["DequantizeLinear"] * 3
    weights = {
        of[node.input[0]]
        for node in graph.node
        if node.output[0] in {c.input[1] for c in convolutions}
    }
    zeros = {of[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert (weights, zeros) == ({TensorProto.INT8}, {TensorProto.UINT8})
    scales = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    widened = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    assert [12] in [scales[node.input[1]] for node in widened]  # one for each of 12 channels
    (rise,) = [node for node in graph.node if node.op_type == "ConvTranspose"]
    assert of[rise.input[1]] == TensorProto.FLOAT


def test_weights_in_fp16_answer_as_fp32_from_half_the_bytes(tmp_path: Path, scenes: Path) -> None:
    weights = random_weights({"w1": (64, 3, 5, 5), "w2": (64, 64, 5, 5)})
    nodes = "a = Conv (image, w1) features = Conv (a, w2)"
    model = saved(network(nodes, weights), tmp_path)
    halved = {name: values.astype(np.float16).astype("f") for name, values in weights.items()}
    made = faster(model, Asked("weights-fp16", scenes, side=SIDE), tmp_path / "out")
    fp32, variant = Runtime(model), Runtime(made.path)
    rounded = Runtime(network(nodes, halved))
    for image in inputs(scenes):
        right, answer = first(fp32(image)), first(variant(image))
        assert np.abs(answer - right).max() <= 1e-3 * np.abs(right).max()
        assert np.array_equal(answer, first(rounded(image)))
    found = made.precision
    assert found.graph_bytes / found.fp32_graph_bytes == pytest.approx(0.5, abs=0.01)


def test_the_same_model_and_pictures_give_the_same_bytes(
    made: dict[Kind, Made], model: Path, scenes: Path, tmp_path: Path
) -> None:
    for kind in KINDS:
        again = faster(model, Asked(kind, scenes, side=SIDE), tmp_path)
        graphs = [onnx.load(each.path) for each in (made[kind], again)]
        for graph in graphs:
            del graph.metadata_props[:]
        one, other = (graph.SerializeToString(deterministic=True) for graph in graphs)
        assert one == other
        timeless = {"speedup": 1.0}
        assert again.precision.model_copy(update=timeless) == made[kind].precision.model_copy(
            update=timeless
        )


def test_one_picture_is_too_few_and_one_that_is_too_small_is_named(
    tmp_path: Path, model: Path
) -> None:
    one = save_scenes(tmp_path / "one", 1)
    with pytest.raises(BadPicture, match=r"one to calibrate on, one to compare on"):
        faster(model, Asked("int8", one), tmp_path)
    nodes = "features = Conv <kernel_shape=[101,3]> (image, w)"
    tall = saved(network(nodes, random_weights({"w": (2, 3, 101, 3)})), tmp_path, "tall")
    two = save_scenes(tmp_path / "two", 2)
    with pytest.raises(BadPicture, match=r"00.png is 80x64; .* a height of at least 101"):
        faster(tall, Asked("int8", two), tmp_path)


def test_what_cannot_be_is_refused_in_a_sentence(tmp_path: Path, scenes: Path) -> None:
    with pytest.raises(BadRecipe, match="a share from 0 to 1"):
        Asked("int8", scenes, min_agreement=99)
    plain = saved(network("features = Relu (image)", {}), tmp_path)
    with pytest.raises(NotFaster, match="no layer with constant weights"):
        faster(plain, Asked("int8", scenes), tmp_path)
    old = unet()
    old.opset_import[0].version = 11
    with pytest.raises(NotFaster, match="--opset 13 or later"):
        faster(saved(old, tmp_path, "old"), Asked("int8", scenes), tmp_path)
    giant = unet()
    giant.graph.initializer[0].CopyFrom(
        TensorProto(name="w1", data_type=TensorProto.FLOAT, dims=[1 << 20, 3, 16, 16])
    )
    with pytest.raises(NotFaster, match=r"has 3\.2 GB of weights"):
        faster(saved(giant, tmp_path, "giant"), Asked("int8", scenes), tmp_path)
    strange = unet()
    onnx.helper.set_model_props(strange, {"anyres.card": "{}"})
    with pytest.raises(BadRecipe, match="export the model again"):
        faster(saved(strange, tmp_path, "strange"), Asked("int8", scenes), tmp_path)


def test_the_table_says_it_all_in_a_few_lines(made: dict[Kind, Made]) -> None:
    console = Console(width=100, file=StringIO())
    with console.capture() as printed:
        console.print(table(made["int8"].precision.model_copy(update={"kept": ("conv_7",)})))
    text = printed.get()
    assert "agreement" in text
    assert f"{made['int8'].precision.agreement:.2%}" in text
    assert "calibrated on 3 pictures (minmax), compared on 3 pictures held out" in text
    assert "kept in fp32, because they hurt most: conv_7" in text


def test_a_variant_of_other_sizes_is_not_passed_off_as_its_model(
    made: dict[Kind, Made], model: Path
) -> None:
    shrinking = network(
        "features = Conv <strides=[2,2]> (image, w)", random_weights({"w": (4, 3, 3, 3)})
    )
    card = made["int8"].card
    with pytest.raises(NotProven, match="net-int8-int8 is not its model in its sizes"):
        card_of(card, analyze(model), shrinking, made["int8"].precision, model)
