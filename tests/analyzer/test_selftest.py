"""Published figures: found again, missed when anything is off, and true of models that run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.cost.macs import MACS
from anyres_analyzer.field.rules import RULES
from anyres_analyzer.published.alexnet import alexnet, caffe_alexnet
from anyres_analyzer.published.fcn import fcn_alexnet, fcn_vgg16
from anyres_analyzer.published.figure import Figure, Network, Value, check
from anyres_analyzer.published.figures import FIGURES
from anyres_analyzer.published.mobilenet_v2 import mobilenet_v2
from anyres_analyzer.published.net import Net
from anyres_analyzer.published.resnet50 import resnet50
from anyres_analyzer.published.unet import unet
from anyres_analyzer.published.vgg16 import vgg16
from anyres_client.main import main

# (outputs, inputs of a group, kernel, map at 500 pixels) of AlexNet, its head as convolutions
DENSE_ALEXNET = (
    (96, 3, 11, 123),
    (256, 48, 5, 61),
    (384, 256, 3, 30),
    (384, 192, 3, 30),
    (256, 192, 3, 30),
    (4096, 256, 6, 10),
    (4096, 4096, 1, 10),
    (1000, 4096, 1, 10),
)
# (outputs, inputs, kernel, map) of U-Net at 572 pixels; an up-convolution's map is its input's
UNET = (
    *((64, 1, 3, 570), (64, 64, 3, 568), (128, 64, 3, 282), (128, 128, 3, 280)),
    *((256, 128, 3, 138), (256, 256, 3, 136), (512, 256, 3, 66), (512, 512, 3, 64)),
    *((1024, 512, 3, 30), (1024, 1024, 3, 28), (512, 1024, 2, 28)),
    *((512, 1024, 3, 54), (512, 512, 3, 52), (256, 512, 2, 52)),
    *((256, 512, 3, 102), (256, 256, 3, 100), (128, 256, 2, 100)),
    *((128, 256, 3, 198), (128, 128, 3, 196), (64, 128, 2, 196)),
    *((64, 128, 3, 390), (64, 64, 3, 388), (2, 64, 1, 388)),
)


def test_every_published_figure_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["agrees"] is True
    assert len(printed["figures"]) == len(FIGURES)
    assert all(figure["agrees"] for figure in printed["figures"])
    assert all(figure["found"] == figure["expected"] for figure in printed["figures"])
    assert all(figure["source"] for figure in printed["figures"])


def test_the_table_fits_a_hundred_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    assert main(["selftest"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("✓ ") for line in lines) == len(FIGURES)
    words = [" ".join(line.split()) for line in lines]
    for row in (
        "✓ pool5: field/stride/padding 212/32/90 212/32/90 Araujo et al. 2019",
        "✓ crops of 227x227 / one pass 7.77 7.77 Long et al. 2015: over 5",
        "✓ MACs 733,888 HW 733,888 HW by hand, layer by layer",
        f"All {len(FIGURES)} figures are as expected.",
    ):
        assert row in words


def off(value: Value) -> Value:
    """As little beside the value as can be."""
    match value:
        case tuple():
            return (*value[:-1], value[-1] + 1)
        case str():
            return f"{value} "
        case float():
            return round(value + 0.01, 2)
        case int():
            return value + 1


def test_no_figure_may_be_off_by_one() -> None:
    verdict = check(replace(figure, expected=off(figure.expected)) for figure in FIGURES)
    assert not verdict.agrees
    assert [outcome for outcome in verdict.figures if outcome.agrees] == []


def test_a_wrong_rule_is_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rules are broken on purpose: that is what the command is for."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setitem(MACS, "Gemm", lambda *_: 0)
    monkeypatch.setitem(RULES, "MaxPool", RULES["Relu"])
    assert main(["selftest"]) == 1
    printed = capsys.readouterr().out
    rows = [" ".join(row.split()) for row in printed.splitlines()]
    convolutions = 724_406_816 - (9216 * 4096 + 4096 * 4096 + 4096 * 1000)
    macs = f"MACs at 227x227 724,406,816 {convolutions:,}"
    assert any(row.startswith(f"✗ {macs}") for row in rows)
    assert any(row.startswith("✗ pool1: field/stride/padding 6/2/2") for row in rows)
    assert "✓ parameters 138,357,544 138,357,544 torchvision" in rows
    differ = sum(row.startswith("✗") for row in rows)
    assert rows[-1] == f"{differ} of {len(FIGURES)} figures are not as expected."


def test_a_network_that_cannot_be_analysed_is_a_figure_not_found() -> None:
    vector = Net()
    vector.linear(vector.image, 3, 1, name="y")
    nowhere = Network("nothing", onnx.ModelProto)
    narrow = Network("narrow", vector.model)
    (no_graph, no_size) = check(
        Figure("MACs", 1, "nobody", lambda analysis: analysis.cost(9, 9).macs, (network,))
        for network in (nowhere, narrow)
    ).figures
    assert not no_graph.agrees
    assert "it holds no graph" in str(no_graph.found)
    assert not no_size.agrees
    assert "'y' (Gemm)" in str(no_size.found)


def test_what_is_counted_by_hand_is_counted_here() -> None:
    def counted(layers: tuple[tuple[int, int, int, int], ...]) -> int:
        return sum(o * i * k**2 * n**2 for o, i, k, n in layers)

    vgg16_fc = (7 * 7 * 512 + 1) * 4096, 4097 * 4096, 4097 * 1000
    alexnet_fc = (6 * 6 * 256 + 1) * 4096, 4097 * 4096, 4097 * 1000
    by_hand = {
        "MACs at 500x500": counted(DENSE_ALEXNET),
        "MACs at 572x572": counted(UNET),
        "parameters of fc6": vgg16_fc[0],
        "crops of 227x227 / one pass": round(100 * 724_406_816 / counted(DENSE_ALEXNET), 2),
        "parameters/a channel/a class": (
            sum(o * i * k**2 + o for o, i, k, _ in UNET) - 2 * 65,
            9 * 64,
            64 + 1,
        ),
    }
    shares = {
        "VGG16": 100 * sum(vgg16_fc) / 138_357_544,
        "AlexNet": 100 * sum(alexnet_fc) / 61_100_840,
        "ResNet-50": 100 * 2049 * 1000 / 25_557_032,
    }
    expected = {figure.quantity: figure.expected for figure in FIGURES}
    assert {quantity: expected[quantity] for quantity in by_hand} == by_hand
    assert {
        figure.networks[0].name: figure.expected
        for figure in FIGURES
        if figure.quantity.startswith("%")
    } == {name: round(share, 2) for name, share in shares.items()}


RUNNABLE = {
    "vgg16": (vgg16(thinner=16), (224, 240)),
    "vgg16 dense": (vgg16(dense=True, thinner=16), (230, 300)),
    "alexnet": (alexnet(thinner=16), (224, 224)),
    "caffe alexnet": (caffe_alexnet(thinner=16), (227, 227)),
    "caffe alexnet dense": (caffe_alexnet(dense=True, thinner=16), (244, 300)),
    "resnet50": (resnet50(thinner=16), (65, 70)),
    "resnet50 dense": (resnet50(dense=True, folded=True, thinner=16), (65, 70)),
    "mobilenet_v2": (mobilenet_v2(thinner=16), (65, 70)),
    "mobilenet_v2 dense": (mobilenet_v2(dense=True, folded=True, thinner=8), (65, 70)),
    "fcn_alexnet": (fcn_alexnet(thinner=16), (51, 64)),
    "fcn_vgg16 32s": (fcn_vgg16(stride=32, thinner=32), (37, 50)),
    "fcn_vgg16 16s": (fcn_vgg16(stride=16, thinner=32), (37, 50)),
    "fcn_vgg16 8s": (fcn_vgg16(stride=8, thinner=32), (37, 50)),
    "unet": (unet(width=4), (188, 204)),
    "unet same": (unet(channels=3, classes=5, same=True, width=4), (32, 48)),
}


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_model_with_weights_runs_and_gives_the_predicted_shape(name: str) -> None:
    net, (height, width) = RUNNABLE[name]
    model = net.model(weights=True)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    image = generator.random((1, net.image.channels, height, width), np.float32)
    (given,) = session.run(None, {"image": image})
    assert given.shape == analyze(net.model()).cost(height, width).output_shape
    assert np.isfinite(given).all()
    assert given.std() > 0


def test_weights_are_the_same_every_time_and_cost_nothing_until_asked_for() -> None:
    assert vgg16(thinner=16).model(weights=True) == vgg16(thinner=16).model(weights=True)
    assert vgg16().model().ByteSize() < 8_000
    shapes = {tuple(weight.dims) for weight in vgg16().model().graph.initializer}
    filled = vgg16(thinner=16).model(weights=True).graph.initializer
    assert (4096, 512 * 7 * 7) in shapes
    assert {len(weight.raw_data) == 4 * prod(weight.dims) for weight in filled} == {True}


def test_a_model_of_some_layers_holds_nothing_else() -> None:
    model = fcn_vgg16(thinner=32).model("pool1", "conv2_1", weights=True)
    assert [output.name for output in model.graph.output] == ["pool1", "conv2_1"]
    assert [weight.name for weight in model.graph.initializer] == [
        f"{layer}.{part}"
        for layer in ("conv1_1", "conv1_2", "conv2_1")
        for part in ("weight", "bias")
    ]


def test_batch_norm_folds_into_one_bias_a_channel() -> None:
    for build, channels in ((resnet50, 26_560), (mobilenet_v2, 17_056)):
        written, folded = (analyze(build(folded=flag).model()) for flag in (False, True))
        assert written.parameters - folded.parameters == channels
        assert written.cost(224, 224).macs == folded.cost(224, 224).macs


@pytest.fixture(scope="module")
def torchvision_models() -> Any:
    """torchvision's; on a CPU build of torch its binary lacks two operators."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    yield pytest.importorskip("torchvision.models")
    del library


@pytest.mark.torch
@pytest.mark.parametrize("build", [vgg16, alexnet, resnet50, mobilenet_v2])
def test_the_weights_have_the_shapes_of_torchvisions(
    build: Callable[[], Net], torchvision_models: Any
) -> None:
    torch = pytest.importorskip("torch")
    with torch.device("meta"):  # shapes alone
        theirs = getattr(torchvision_models, build.__name__)(weights=None)
    state = [tensor.shape for name, tensor in theirs.state_dict().items() if tensor.ndim]
    ours = [tuple(weight.dims) for weight in build().model().graph.initializer if weight.dims]
    assert sorted(map(tuple, state)) == sorted(ours)
    assert sum(p.numel() for p in theirs.parameters()) == analyze(build().model()).parameters
