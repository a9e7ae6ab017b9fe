"""U-Net (Ronneberger et al., MICCAI 2015): as published, and same-padded.

    level 0   conv conv ─────────────── skip ──────────────> concat conv conv, head
    level 1     └─pool─ conv conv ───── skip ────> concat conv conv ─up─┘
    level 2               └─pool─ conv conv (the bottom) ─up─┘

Each level halves the grid and doubles the channels, up to `widest`. The way up meets the way down
only where every pooling divided evenly; nothing is resized, and nothing is cropped to hide that.

Same-padded, the output is as large as the input, whose height and width are multiples of `step`. As
published, a 3x3 convolution takes one pixel from each side, so what a skip brings is larger than
what it meets, by the same number of pixels at every size: its centre is cut out. A 572x572 image
gives 388x388 pixels, those from 92 pixels inside on; the sizes are 188, 204, 220, ...
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyres_exporter.zoo.heads import Answer


class UNet(nn.Module):
    """A U-Net of `depth` poolings that starts `width` channels wide.

    Takes (n, in_channels, h, w), gives logits (n, classes, h, w), or of valid convolutions fewer
    rows and columns.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        width: int = 16,
        depth: int = 3,
        widest: int | None = None,
        *,
        valid: bool = False,
        norm: bool = True,
    ) -> None:
        """Random weights, until a state is loaded.

        Args:
            in_channels: of the image.
            classes: how many.
            width: channels of level 0.
            depth: how many poolings.
            widest: no level has more channels.
            valid: 3x3 convolutions without padding.
            norm: batch norm behind every 3x3 convolution.
        """
        super().__init__()
        self.step = 2**depth
        self.margins = [_margin(depth - level) * valid for level in range(depth)]
        doubled = [width * 2**level for level in range(depth + 1)]
        widths = [min(channels, widest or channels) for channels in doubled]
        upwards = list(pairwise(reversed(widths)))
        block = _normed if norm else _plain
        padding = 0 if valid else 1
        self.down = nn.ModuleList(block(c, d, padding) for c, d in pairwise([in_channels, *widths]))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(c, d, 2, stride=2) for c, d in upwards)
        self.up = nn.ModuleList(block(2 * d, d, padding) for _, d in upwards)
        self.head: nn.Module = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Answer:
        """Logits for every pixel, or what the head makes."""
        first, *deeper = self.down
        skips = [first(image)]
        for block in deeper:
            skips.append(block(F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for rise, block, margin in zip(self.rise, self.up, reversed(self.margins), strict=True):
            x = block(torch.cat([_centre(skips.pop(), margin), rise(x)], dim=1))
        answer: Answer = self.head(x)
        return answer


def original_unet(in_channels: int = 1, classes: int = 2, width: int = 64, depth: int = 4) -> UNet:
    """The paper's: 31 030 528 + 576 (in_channels - 1) + 65 classes parameters."""
    return UNet(in_channels, classes, width, depth, valid=True, norm=False)


def _margin(levels: int) -> int:
    """Pixels a side by which a valid skip is larger than what it meets, `levels` above the bottom.

    4, 16, 40, 88: at the bottom two convolutions take 2 pixels a side, which are 4 here. Further
    up, as many are taken below on the way down, the margin there, and as many on the way up.
    """
    return 4 if levels == 1 else 2 * (_margin(levels - 1) + 4)


def _centre(x: Tensor, margin: int) -> Tensor:
    return x[:, :, margin:-margin, margin:-margin] if margin else x


def _normed(in_channels: int, channels: int, padding: int) -> nn.Sequential:
    """Two 3x3 convolutions; batch norm brings the bias."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def _plain(in_channels: int, channels: int, padding: int) -> nn.Sequential:
    """Two 3x3 convolutions with a bias of their own."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=padding),
        nn.ReLU(inplace=True),
    )
