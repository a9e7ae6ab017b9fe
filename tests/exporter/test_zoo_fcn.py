"""FCNs: every size pixel by pixel, scores interpolated to where they belong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.lively import lively  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from anyres_exporter.zoo.fcn import fcn_alexnet, fcn_vgg16  # noqa: E402
from anyres_exporter.zoo.fcn_padded import (  # noqa: E402
    PaddedFCN,
    fcn_resnet18,
    fcn_resnet50,
    padded_fcn_vgg16,
)
from anyres_exporter.zoo.vgg import vgg16  # noqa: E402


@pytest.mark.parametrize("factory", [fcn_vgg16, padded_fcn_vgg16, fcn_resnet18, fcn_resnet50])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_the_scores_are_as_large_as_the_image(
    factory: Callable[..., nn.Module], stride: int
) -> None:
    model = factory(stride=stride, thinner=32).eval()
    with torch.inference_mode():
        for size in ((1, 1), (1, 130), (37, 50), (100, 75)):
            assert model(torch.zeros(2, 3, *size)).shape == (2, 21, *size)


def test_those_of_alexnet_too() -> None:
    model = fcn_alexnet(thinner=16).eval()
    with torch.inference_mode():
        for size in ((1, 1), (100, 75)):
            assert model(torch.zeros(1, 3, *size)).shape == (1, 21, *size)


@pytest.mark.parametrize("factory", [fcn_vgg16, padded_fcn_vgg16, fcn_resnet18, fcn_resnet50])
def test_another_stride_is_refused_by_its_number(factory: Callable[..., nn.Module]) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"stride 4 .* expected 32, 16 or 8"):
        factory(stride=4)


# Before training, scores are interpolated, so between the outermost cells torch's interpolation of
# the same scores says what is expected. ResNet's cells lie on pixels 0, 32, ..., so there it is
# that of corners on corners; VGG's lie in the middle of their pixels.
def on_pixels(scores: Tensor, factor: int) -> Tensor:
    height, width = (factor * (side - 1) + 1 for side in scores.shape[2:])
    return F.interpolate(scores, (height, width), mode="bilinear", align_corners=True)


def in_the_middle(scores: Tensor, factor: int) -> Tensor:
    return F.interpolate(scores, scale_factor=float(factor), mode="bilinear")


@pytest.mark.parametrize(
    ("factory", "interpolated", "border"),
    [(fcn_resnet18, on_pixels, 0), (padded_fcn_vgg16, in_the_middle, 64)],
)
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_before_training_a_pixel_has_the_sum_of_the_interpolated_scores(
    factory: Callable[..., PaddedFCN],
    interpolated: Callable[[Tensor, int], Tensor],
    border: int,
    stride: int,
) -> None:
    model = factory(stride=stride, classes=2, thinner=16)
    fresh = {key: value.clone() for key, value in model.state_dict().items() if is_tent(key)}
    lively(model, 3, (64, 64)).load_state_dict(fresh, strict=False)
    image = torch.randn(1, 3, 224, 256)
    with torch.inference_mode():
        *finer, coarsest = model.trunk(image)
        expected = model.scores[0](model.head(coarsest))
        for score in list(model.scores)[1:]:
            mine = score(finer.pop())
            above = interpolated(expected, 2)
            expected = above + mine[..., : above.shape[2], : above.shape[3]]
        expected = interpolated(expected, stride)
        answer = model(image)
    height, width = expected.shape[2:]
    inside = (..., slice(border, height - border), slice(border, width - border))
    torch.testing.assert_close(answer[inside], expected[inside], atol=1e-4, rtol=1e-4)


def is_tent(key: str) -> bool:
    return key.startswith(("rise.", "upscore."))


def test_fc6_and_fc7_are_the_classifier_s_layers_at_every_position() -> None:
    classifier = lively(vgg16(classes=4, thinner=32), 3, (224, 224))
    model = fcn_vgg16(32, classes=4, thinner=32).eval()
    layers = iter(p for p in classifier.state_dict().values())
    names = [name for name in model.state_dict() if not is_tent(name)]
    state = {
        name: value.reshape(model.state_dict()[name].shape)
        for name, value in zip(names, layers, strict=True)
    }
    model.load_state_dict(state, strict=False)
    features = classifier.get_submodule("features")
    with torch.inference_mode():
        maps = features(torch.randn(1, 3, 288, 224))
        dense = model.score(model.fc7(model.fc6(maps)))
        assert dense.shape == (1, 4, 3, 1)
        for row in range(3):
            window = maps[:, :, row : row + 7].flatten(1)
            answer = classifier.get_submodule("classifier")(window)
            torch.testing.assert_close(dense[..., row, 0], answer, atol=1e-4, rtol=1e-4)
