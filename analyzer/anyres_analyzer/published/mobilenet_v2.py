"""MobileNetV2 at width 1.0 (Sandler et al., 2018, Table 2)."""

from __future__ import annotations

from anyres_analyzer.published.net import Feature, Net

STAGES = (  # (expansion, channels, blocks, stride)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST = 1280


def mobilenet_v2(
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
    x = net.relu6(_normed(net, net.image, 32 // thinner, 3, stride=2, folded=folded))
    for expansion, channels, blocks, stride in STAGES:
        for block in range(blocks):
            step = 1 if block else stride
            x = _inverted(net, x, expansion, channels // thinner, step, folded=folded)
    x = net.relu6(_normed(net, x, LAST // thinner, 1, folded=folded))
    if dense:
        net.conv(x, classes, 1, name="fc")
    else:
        net.linear(net.mean(x), x.channels, classes, name="fc")
    return net


def _inverted(
    net: Net, x: Feature, expansion: int, channels: int, stride: int, *, folded: bool
) -> Feature:
    """Wide inside, narrow outside, joined by its narrow ends."""
    wide, y = expansion * x.channels, x
    if expansion > 1:
        y = net.relu6(_normed(net, x, wide, 1, folded=folded))
    y = net.relu6(_normed(net, y, wide, 3, stride=stride, groups=wide, folded=folded))
    y = _normed(net, y, channels, 1, folded=folded)
    return net.add(x, y) if stride == 1 and x.channels == channels else y


def _normed(
    net: Net,
    x: Feature,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    folded: bool,
) -> Feature:
    pad = kernel // 2
    x = net.conv(x, channels, kernel, stride=stride, pad=pad, groups=groups, bias=folded)
    return x if folded else net.batch_norm(x)
