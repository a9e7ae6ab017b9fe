"""What a dense network takes from a classifier: its maps of strides 8, 16 and 32."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from anyres_exporter.zoo.resnet import ResNet

COUNT = 3


class Pools(nn.Module):
    """(n, 3, h, w) to what the last three poolings of a chain of layers make, the finest first."""

    def __init__(self, features: nn.Sequential) -> None:
        """Share the layers; each stage ends where the next begins, behind a pooling."""
        super().__init__()
        ends = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
        starts = [0, *ends[-COUNT:]]
        self.stages = nn.ModuleList(features[start:stop] for start, stop in pairwise(starts))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Three maps."""
        return _each(self.stages, image)


class Stages(nn.Module):
    """(n, 3, h, w) to what the last three stages of a ResNet make, the finest first."""

    def __init__(self, classifier: ResNet) -> None:
        """Share all layers but the last."""
        super().__init__()
        net = classifier
        stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
        self.stages = nn.ModuleList((nn.Sequential(stem, net.layer2), net.layer3, net.layer4))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Three maps."""
        return _each(self.stages, image)


def _each(stages: nn.ModuleList, x: Tensor) -> list[Tensor]:
    maps = []
    for stage in stages:
        x = stage(x)
        maps.append(x)
    return maps
