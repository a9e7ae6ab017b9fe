"""ResNet: blocks that add to what goes in, a global average pool, one fully connected layer.

He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016); of the deep ones, the 3x3
convolution carries the stride, as torchvision has it. Module names are torchvision's, so its
checkpoints load as they are: ResNet-18 has 11 689 512 parameters, ResNet-50 25 557 032.

Every halving rounds up and keeps its first cell on the image's first pixel, so a map of stride s
has ceil(h / s) rows, of which row i is centred on pixel s * i.
"""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from anyres_exporter.zoo.heads import Answer, last_layer

RESNET18 = (2, 2, 2, 2)  # blocks of each stage
RESNET50 = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(before, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, width, ceil(h / stride), ceil(w / stride))."""
        y = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, beside the identity; four times as wide outside."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(before, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, 4 * width, ceil(h / stride), ceil(w / stride))."""
        y = relu(self.bn1(self.conv1(x)))
        y = relu(self.bn2(self.conv2(y)))
        return relu(self.bn3(self.conv3(y)) + self.downsample(x))


Block: TypeAlias = type[BasicBlock] | type[Bottleneck]


class ResNet(nn.Module):
    """The classifier: (n, 3, h, w) to (n, classes); all widths but the classes over `thinner`."""

    def __init__(
        self,
        block: Block,
        depths: tuple[int, ...],
        classes: int = 1000,
        values: int = 0,
        thinner: int = 1,
    ) -> None:
        """Random weights; with `values`, so many numbers beside the classes."""
        super().__init__()
        widths = [width // thinner for width in WIDTHS]
        self.widths = [width * block.expansion for width in widths]  # of what the stages make
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(block, widths[0], widths[0], depths[0], stride=1)
        self.layer2 = _stage(block, self.widths[0], widths[1], depths[1], stride=2)
        self.layer3 = _stage(block, self.widths[1], widths[2], depths[2], stride=2)
        self.layer4 = _stage(block, self.widths[2], widths[3], depths[3], stride=2)
        self.fc = last_layer(self.widths[3], classes, values)

    def forward(self, image: Tensor) -> Answer:
        """One answer for the whole image."""
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(image)))))
        x = self.layer4(self.layer3(self.layer2(x)))
        answer: Answer = self.fc(adaptive_avg_pool2d(x, (1, 1)).flatten(1))
        return answer


def resnet18(classes: int = 1000, values: int = 0, thinner: int = 1) -> ResNet:
    """11 689 512 parameters."""
    return ResNet(BasicBlock, RESNET18, classes, values, thinner)


def resnet50(classes: int = 1000, values: int = 0, thinner: int = 1) -> ResNet:
    """25 557 032 parameters."""
    return ResNet(Bottleneck, RESNET50, classes, values, thinner)


def _stage(block: Block, before: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
    first = block(before, width, stride)
    rest = (block(width * block.expansion, width, 1) for _ in range(depth - 1))
    return nn.Sequential(first, *rest)


def _shortcut(before: int, channels: int, stride: int) -> nn.Sequential:
    """The identity, or a 1x1 convolution where channels or grid change; empty, it has no names."""
    if stride == 1 and before == channels:
        return nn.Sequential()
    return nn.Sequential(
        nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
    )
