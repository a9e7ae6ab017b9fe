"""MobileNetV2: inverted residuals, a global average pool, and one fully connected layer.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018). Module names
are those of torchvision, so its checkpoints load as they are; 1000 classes take 3 504 872
parameters.
"""

from __future__ import annotations

from torch import Tensor, flatten, nn
from torch.nn.functional import adaptive_avg_pool2d

from anyres_exporter.zoo.heads import Answer, last_layer

STEM, LAST = 32, 1280  # channels of the first and the last convolution
# expansion, channels, repeats, first stride: Table 2 of the paper
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv_bn_relu(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without an activation."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.residual = stride == 1 and channels_in == channels_out
        expand = [_conv_bn_relu(channels_in, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv_bn_relu(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) to (n, c_out, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """The classifier: (n, 3, h, w) to (n, classes). Without its head, stride 32.

    All widths but the classes are divided by `thinner`.
    """

    def __init__(self, classes: int = 1000, values: int = 0, thinner: int = 1) -> None:
        """Random weights; with `values`, so many numbers beside the classes."""
        super().__init__()
        channels, last = STEM // thinner, LAST // thinner
        layers: list[nn.Module] = [_conv_bn_relu(3, channels, 3, stride=2)]
        for expansion, width, repeats, first_stride in STAGES:
            for index in range(repeats):
                stride = first_stride if index == 0 else 1
                layers.append(InvertedResidual(channels, width // thinner, stride, expansion))
                channels = width // thinner
        layers.append(_conv_bn_relu(channels, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), last_layer(last, classes, values))

    def forward(self, x: Tensor) -> Answer:
        """One answer for the whole image."""
        pooled = adaptive_avg_pool2d(self.features(x), (1, 1))
        answer: Answer = self.classifier(flatten(pooled, 1))
        return answer
