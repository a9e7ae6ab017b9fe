"""Every network that is defined here: what makes it, what it is for, and what may be asked of it.

entry = CATALOGUE["fcn_vgg16"]
model = entry.factory(stride=16, classes=5)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import nn

from anyres_exporter.zoo.alexnet import AlexNet
from anyres_exporter.zoo.coarse import coarse_unet
from anyres_exporter.zoo.fcn import fcn_alexnet, fcn_vgg16
from anyres_exporter.zoo.fcn_padded import fcn_resnet18, fcn_resnet50, padded_fcn_vgg16
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2
from anyres_exporter.zoo.pixel_heads import unet_objects, unet_values
from anyres_exporter.zoo.resnet import resnet18, resnet50
from anyres_exporter.zoo.unet import UNet, original_unet
from anyres_exporter.zoo.vgg import vgg11, vgg16, vgg19
from anyres_proto.card import Meaning

Task: TypeAlias = Literal["classification", "segmentation", "regression"]
NATIVE = (224, 224)  # of ImageNet's classifiers


@dataclass(frozen=True)
class Entry:
    """One network.

    Args:
        factory: called without arguments it makes the network as it was published.
        task: what it is for.
        dense: whether it answers at every position; if not, H and W stay as they are traced.
        size: (h, w) to trace at, which a network made without arguments takes.
        channels: of its image, made without arguments.
        meanings: what its outputs are, where their layers do not tell.
    """

    factory: Callable[..., nn.Module]
    task: Task
    dense: bool = True
    size: tuple[int, int] = NATIVE
    channels: int = 3
    meanings: Mapping[str, Meaning] = field(default_factory=dict)


def _classifier(factory: Callable[..., nn.Module]) -> Entry:
    return Entry(factory, "classification", dense=False, meanings={"values": "values"})


CATALOGUE: Mapping[str, Entry] = {
    "alexnet": _classifier(AlexNet),
    "vgg11": _classifier(vgg11),
    "vgg16": _classifier(vgg16),
    "vgg19": _classifier(vgg19),
    "resnet18": _classifier(resnet18),
    "resnet50": _classifier(resnet50),
    "mobilenet_v2": _classifier(MobileNetV2),
    "fcn_alexnet": Entry(fcn_alexnet, "segmentation"),
    "fcn_vgg16": Entry(fcn_vgg16, "segmentation"),
    "padded_fcn_vgg16": Entry(padded_fcn_vgg16, "segmentation"),
    "fcn_resnet18": Entry(fcn_resnet18, "segmentation"),
    "fcn_resnet50": Entry(fcn_resnet50, "segmentation"),
    "unet": Entry(UNet, "segmentation"),
    "original_unet": Entry(original_unet, "segmentation", size=(188, 188), channels=1),
    "coarse_unet": Entry(coarse_unet, "segmentation", size=(256, 256)),
    "unet_values": Entry(unet_values, "regression"),
    "unet_objects": Entry(
        unet_objects, "segmentation", meanings={"centre": "centres", "offset": "offsets"}
    ),
}
