"""AlexNet: as torchvision has it (Krizhevsky, 2014), and the trunk that Caffe has (2012).

    Krizhevsky: One weird trick for parallelizing convolutional neural networks. 2014
    Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep CNNs. NIPS 2012

Five convolutions and three poolings of stride 2 behind a first stride of 4: a map of 6x6 cells at
224x224, 32 pixels apart. 96 % of its 61 100 840 parameters are in the fully connected layers.
Module names are torchvision's, so its checkpoints load as they are.
"""

from __future__ import annotations

from torch import Tensor, nn

from anyres_exporter.zoo.heads import Answer, last_layer

MAP = 6  # cells of the last map at 224 (in Caffe's form at 227), which the head is made for
HIDDEN = 4096


class AlexNet(nn.Module):
    """The classifier of 224x224 images: (n, 3, 224, 224) to (n, classes).

    A larger map is averaged to 6x6 cells, as torchvision does; all widths but the classes are
    divided by `thinner`.
    """

    def __init__(self, classes: int = 1000, values: int = 0, thinner: int = 1) -> None:
        """Random weights; with `values`, so many numbers beside the classes."""
        super().__init__()
        hidden = HIDDEN // thinner
        self.features = trunk(thinner=thinner)
        self.avgpool = nn.AdaptiveAvgPool2d((MAP, MAP))
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 // thinner * MAP**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            last_layer(hidden, classes, values),
        )

    def forward(self, image: Tensor) -> Answer:
        """One answer for the whole image."""
        answer: Answer = self.classifier(self.avgpool(self.features(image)).flatten(1))
        return answer


def trunk(*, thinner: int = 1) -> nn.Sequential:
    """conv1 to pool5 in torchvision's form: stride 32, 256 channels."""
    first, second, third, fourth, fifth = (w // thinner for w in (64, 192, 384, 256, 256))
    return nn.Sequential(
        *(nn.Conv2d(3, first, 11, stride=4, padding=2), nn.ReLU(inplace=True)),
        nn.MaxPool2d(3, 2),
        *(nn.Conv2d(first, second, 5, padding=2), nn.ReLU(inplace=True)),
        nn.MaxPool2d(3, 2),
        *(nn.Conv2d(second, third, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(third, fourth, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(fourth, fifth, 3, padding=1), nn.ReLU(inplace=True)),
        nn.MaxPool2d(3, 2),
    )


def caffe_trunk(*, pad: int = 0, thinner: int = 1) -> nn.Sequential:
    """conv1 to pool5 in Caffe's form: stride 32, 256 channels; `pad` is that of conv1.

    Three layers are of two groups, two poolings are followed by a normalization over 5 neighbouring
    channels, and the poolings keep a last window that is not full.
    """
    first, second, third, fourth, fifth = (w // thinner for w in (96, 256, 384, 384, 256))
    return nn.Sequential(
        *(nn.Conv2d(3, first, 11, stride=4, padding=pad), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5)),
        *(nn.Conv2d(first, second, 5, padding=2, groups=2), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5)),
        *(nn.Conv2d(second, third, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(third, fourth, 3, padding=1, groups=2), nn.ReLU(inplace=True)),
        *(nn.Conv2d(fourth, fifth, 3, padding=1, groups=2), nn.ReLU(inplace=True)),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    )
