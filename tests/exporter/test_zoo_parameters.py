"""Published counts of parameters, exactly; full-size networks take no memory on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

from anyres_exporter.zoo.alexnet import AlexNet  # noqa: E402
from anyres_exporter.zoo.fcn import FCN, fcn_alexnet, fcn_vgg16  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402
from anyres_exporter.zoo.resnet import resnet18, resnet50  # noqa: E402
from anyres_exporter.zoo.unet import original_unet  # noqa: E402
from anyres_exporter.zoo.vgg import vgg11, vgg16, vgg19  # noqa: E402

# A linear layer of n numbers beside the classes is n (features + 1) more. The counts of Long et
# al. are those up to the scores; FCN-16s and 8s score pool4 (512 channels) and pool3 (256) too.
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "AlexNet": (AlexNet, 61_100_840),
    "VGG11": (vgg11, 132_863_336),
    "VGG16": (vgg16, 138_357_544),
    "VGG19": (vgg19, 143_667_240),
    "ResNet-18": (resnet18, 11_689_512),
    "ResNet-50": (resnet50, 25_557_032),
    "MobileNetV2": (MobileNetV2, 3_504_872),
    "ResNet-50 with 7 values": (partial(resnet50, values=7), 25_557_032 + 7 * 2049),
    "VGG16 with 1 value": (partial(vgg16, values=1), 138_357_544 + 4097),
    "FCN-AlexNet": (fcn_alexnet, 56_954_261),
    "FCN-32s": (partial(fcn_vgg16, 32), 134_346_581),
    "FCN-16s": (partial(fcn_vgg16, 16), 134_346_581 + 21 * 513),
    "FCN-8s": (partial(fcn_vgg16, 8), 134_346_581 + 21 * 513 + 21 * 257),
    "U-Net": (original_unet, 31_030_528 + 65 * 2),
    "U-Net, RGB, 6 classes": (partial(original_unet, 3, 6), 31_030_528 + 576 * 2 + 65 * 6),
}


@pytest.mark.parametrize(("factory", "published"), PUBLISHED.values(), ids=PUBLISHED)
def test_there_are_as_many_as_published(factory: Callable[[], nn.Module], published: int) -> None:
    with torch.device("meta"):
        model = factory()
    counted = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not (isinstance(model, FCN) and name.startswith(("rise", "upscore")))
    )
    assert counted == published


@pytest.mark.parametrize(("factory", "share"), [(vgg16, 89.36), (AlexNet, 95.96)])
def test_most_of_them_are_in_the_fully_connected_layers(
    factory: Callable[[], nn.Module], share: float
) -> None:
    with torch.device("meta"):
        counts = {name: p.numel() for name, p in factory().named_parameters()}
    connected = sum(count for name, count in counts.items() if name.startswith("classifier."))
    assert round(100 * connected / sum(counts.values()), 2) == share
