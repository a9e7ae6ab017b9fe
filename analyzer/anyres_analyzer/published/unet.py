"""U-Net (Ronneberger et al., 2015): as published, of valid convolutions, and same-padded.

A valid convolution takes a pixel from each side, so what a skip brings is larger than what it
meets. By how much is the same at every size, so the crops are constants.
"""

from __future__ import annotations

from anyres_analyzer.published.net import Feature, Net

LEVELS = 4
WIDTH = 64


def unet(*, channels: int = 1, classes: int = 2, same: bool = False, width: int = WIDTH) -> Net:
    """Four levels down and up, without batch norm; `same` pads every 3x3 convolution by 1."""
    net = Net(channels)
    x, skips = net.image, []
    for level in range(LEVELS):
        x = _twice(net, x, width << level, same=same)
        skips.append(x)
        x = net.max_pool(x, 2)
    x = _twice(net, x, width << LEVELS, same=same)
    for level in reversed(range(LEVELS)):
        x = net.up_conv(x, width << level, 2, stride=2, bias=True)
        skip = skips[level] if same else net.trim(skips[level], surplus(level))
        x = _twice(net, net.concat(skip, x), width << level, same=same)
    net.conv(x, classes, 1, name="score")
    return net


def surplus(level: int) -> int:
    """Pixels a side by which a skip is larger than what it meets: 88, 40, 16 and 4, by level.

    Below the lowest skip two convolutions take 2 pixels, which are 4 of its own. Below another they
    take 2 on the way down, the crop there takes its surplus, two more take 2 on the way up.
    """
    return 4 if level == LEVELS - 1 else 2 * (surplus(level + 1) + 4)


def _twice(net: Net, x: Feature, channels: int, *, same: bool) -> Feature:
    for _ in range(2):
        x = net.relu(net.conv(x, channels, 3, pad=int(same)))
    return x
