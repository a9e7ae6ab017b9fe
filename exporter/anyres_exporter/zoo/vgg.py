"""VGG: 3x3 convolutions, halved five times, and three fully connected layers.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR
2015), configurations A, D and E. A map of 7x7 cells at 224x224, 32 pixels apart. 89 % of VGG16's
138 357 544 parameters are in the fully connected layers. Module names are torchvision's, so its
checkpoints load as they are.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from anyres_exporter.zoo.heads import Answer, last_layer

VGG11 = (1, 1, 2, 2, 2)  # convolutions before each pooling
VGG16 = (2, 2, 3, 3, 3)
VGG19 = (2, 2, 4, 4, 4)
WIDTHS = (64, 128, 256, 512, 512)
MAP = 7  # cells of the last map at 224, which the head is made for
HIDDEN = 4096


class VGG(nn.Module):
    """The classifier of 224x224 images: (n, 3, 224, 224) to (n, classes).

    A larger map is averaged to 7x7 cells, as torchvision does; all widths but the classes are
    divided by `thinner`.
    """

    def __init__(
        self, depths: tuple[int, ...], classes: int = 1000, values: int = 0, thinner: int = 1
    ) -> None:
        """Random weights; with `values`, so many numbers beside the classes."""
        super().__init__()
        hidden = HIDDEN // thinner
        self.features = trunk(depths, thinner=thinner)
        self.avgpool = nn.AdaptiveAvgPool2d((MAP, MAP))
        self.classifier = nn.Sequential(
            nn.Linear(WIDTHS[-1] // thinner * MAP**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            last_layer(hidden, classes, values),
        )

    def forward(self, image: Tensor) -> Answer:
        """One answer for the whole image."""
        answer: Answer = self.classifier(self.avgpool(self.features(image)).flatten(1))
        return answer


def vgg11(classes: int = 1000, values: int = 0, thinner: int = 1) -> VGG:
    """Configuration A: 132 863 336 parameters."""
    return VGG(VGG11, classes, values, thinner)


def vgg16(classes: int = 1000, values: int = 0, thinner: int = 1) -> VGG:
    """Configuration D: 138 357 544 parameters."""
    return VGG(VGG16, classes, values, thinner)


def vgg19(classes: int = 1000, values: int = 0, thinner: int = 1) -> VGG:
    """Configuration E: 143 667 240 parameters."""
    return VGG(VGG19, classes, values, thinner)


def trunk(
    depths: tuple[int, ...], *, pad: int = 1, ceil: bool = False, thinner: int = 1
) -> nn.Sequential:
    """conv1_1 to pool5: stride 32.

    Args:
        depths: how many convolutions before each pooling.
        pad: of conv1_1; the others are padded by 1.
        ceil: whether the poolings keep a last window that is not full.
        thinner: what all widths are divided by.
    """
    layers: list[nn.Module] = []
    widths = [3, *(width // thinner for width in WIDTHS)]
    for depth, (before, width) in zip(depths, pairwise(widths), strict=True):
        for channels in (before, *[width] * (depth - 1)):
            padding = 1 if layers else pad
            layers += [nn.Conv2d(channels, width, 3, padding=padding), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=ceil))
    return nn.Sequential(*layers)
