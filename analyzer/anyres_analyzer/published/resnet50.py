"""ResNet-50 (He et al., 2016), with the stride in the 3x3 convolution as torchvision has it."""

from __future__ import annotations

from anyres_analyzer.published.net import Feature, Net

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # (blocks, channels, stride)
EXPANSION = 4


def resnet50(
    *, dense: bool = False, folded: bool = False, classes: int = 1000, thinner: int = 1
) -> Net:
    """The classifier of images of any size, or `dense`: an answer for every 32 pixels.

    Args:
        dense: without the mean over the map, the head a 1x1 convolution.
        folded: batch norm lies in the convolutions, as in most exported files.
        classes: how many.
        thinner: what all other widths are divided by.
    """
    net = Net()
    x = net.relu(_normed(net, net.image, 64 // thinner, 7, stride=2, folded=folded))
    x = net.max_pool(x, 3, pad=1)
    for blocks, channels, stride in STAGES:
        for block in range(blocks):
            x = _block(net, x, channels // thinner, 1 if block else stride, folded=folded)
    if dense:
        net.conv(x, classes, 1, name="fc")
    else:
        net.linear(net.mean(x), x.channels, classes, name="fc")
    return net


def _block(net: Net, x: Feature, channels: int, stride: int, *, folded: bool) -> Feature:
    y = net.relu(_normed(net, x, channels, 1, folded=folded))
    y = net.relu(_normed(net, y, channels, 3, stride=stride, folded=folded))
    y = _normed(net, y, EXPANSION * channels, 1, folded=folded)
    if x.channels != y.channels:
        x = _normed(net, x, y.channels, 1, stride=stride, folded=folded)
    return net.relu(net.add(y, x))


def _normed(
    net: Net, x: Feature, channels: int, kernel: int, *, stride: int = 1, folded: bool
) -> Feature:
    x = net.conv(x, channels, kernel, stride=stride, pad=kernel // 2, bias=folded)
    return x if folded else net.batch_norm(x)
