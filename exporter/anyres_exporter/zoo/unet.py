"""U-Net (Ronneberger et al., 2015), same-padded, so that its output is as large as its input.

    level 0   conv conv ─────────────── skip ──────────────> concat conv conv, head
    level 1     └─pool─ conv conv ───── skip ────> concat conv conv ─up─┘
    level 2               └─pool─ conv conv (the bottom) ─up─┘

Each level halves the grid and doubles the channels, up to `widest`. The way up meets the way down
only where every pooling divided evenly, so height and width must be multiples of `step`; nothing is
resized or cropped to hide that.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """A U-Net of `depth` poolings that starts `width` channels wide.

    Takes (n, in_channels, h, w), gives logits (n, classes, h, w); h and w are multiples of `step`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        width: int = 16,
        depth: int = 3,
        widest: int | None = None,
    ) -> None:
        """Random weights, until a state is loaded; no level has more than `widest` channels."""
        super().__init__()
        self.step = 2**depth
        doubled = [width * 2**level for level in range(depth + 1)]
        widths = [min(channels, widest or channels) for channels in doubled]
        upwards = list(pairwise(reversed(widths)))
        self.down = nn.ModuleList(_block(c, d) for c, d in pairwise([in_channels, *widths]))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(c, d, 2, stride=2) for c, d in upwards)
        self.up = nn.ModuleList(_block(2 * d, d) for _, d in upwards)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits for every pixel."""
        first, *deeper = self.down
        skips = [first(image)]
        for block in deeper:
            skips.append(block(F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for rise, block in zip(self.rise, self.up, strict=True):
            x = block(torch.cat([skips.pop(), rise(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _block(in_channels: int, channels: int) -> nn.Sequential:
    """Two 3x3 convolutions; batch norm brings the bias."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
