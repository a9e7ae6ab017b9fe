"""Several answers of one network: numbers beside classes, and what objects are told apart by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.lively import lively  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from anyres_exporter.zoo.alexnet import AlexNet  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402
from anyres_exporter.zoo.pixel_heads import unet_objects, unet_values  # noqa: E402
from anyres_exporter.zoo.resnet import resnet18, resnet50  # noqa: E402
from anyres_exporter.zoo.vgg import vgg11  # noqa: E402

CLASSIFIERS = [
    partial(AlexNet, thinner=32),
    partial(vgg11, thinner=32),
    partial(resnet18, thinner=16),
    partial(resnet50, thinner=16),
    partial(MobileNetV2, thinner=8),
]


@pytest.mark.parametrize("factory", CLASSIFIERS, ids=lambda f: f.func.__name__)
def test_a_classifier_s_checkpoint_fits_and_gives_its_logits_beside_numbers(
    factory: Callable[..., nn.Module],
) -> None:
    plain = lively(factory(classes=5), 3, (224, 224))
    beside = factory(classes=5, values=2).eval()
    unmet = beside.load_state_dict(plain.state_dict(), strict=False)
    assert not unmet.unexpected_keys
    weight, bias = unmet.missing_keys
    assert weight.endswith(".values.weight")
    assert bias.endswith(".values.bias")
    image = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        features = before_the_last_layer(plain, image)
        answer = beside(image)
        assert torch.equal(answer["logits"], plain(image))
        state = beside.state_dict()
        torch.testing.assert_close(answer["values"], F.linear(features, state[weight], state[bias]))


def before_the_last_layer(classifier: nn.Module, image: Tensor) -> Tensor:
    seen: list[Tensor] = []
    last = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)][-1]
    hook = last.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    classifier(image)
    hook.remove()
    return seen[0]


def test_a_dense_regression_gives_unbounded_numbers_for_every_pixel() -> None:
    model = lively(unet_values(width=4, depth=2), 3, (32, 32))
    with torch.inference_mode():
        answer = model(torch.randn(2, 3, 24, 32))
    assert list(answer) == ["values"]
    assert answer["values"].shape == (2, 1, 24, 32)
    assert answer["values"].min() < 0 < answer["values"].max()


def test_objects_have_classes_a_middle_and_two_directions_to_it() -> None:
    model = lively(unet_objects(classes=3, width=4, depth=2), 3, (32, 32))
    with torch.inference_mode():
        answer = model(torch.randn(2, 3, 24, 32))
    assert {name: tuple(each.shape) for name, each in answer.items()} == {
        "semantic": (2, 3, 24, 32),
        "centre": (2, 1, 24, 32),
        "offset": (2, 2, 24, 32),
    }


@pytest.mark.parametrize("output", ["semantic", "centre", "offset"])
def test_the_answers_for_objects_share_the_body_and_no_branch(output: str) -> None:
    model: Any = lively(unet_objects(classes=3, width=4, depth=1), 3, (16, 16))
    model(torch.randn(2, 3, 16, 16))[output].square().sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    of_heads = {name.split(".")[1] for name in moved if name.startswith("head.")}
    assert of_heads == {output}
    assert {name.split(".")[0] for name in moved} == {"down", "rise", "up", "head"}
