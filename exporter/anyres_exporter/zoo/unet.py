"""U-Net (Ronneberger et al., 2015), same-padded, so that its output is as large as its input.

    stem ─ level 0   conv conv ─────────────── skip ──────────────> concat conv conv, head
           level 1     └─pool─ conv conv ───── skip ────> concat conv conv ─up─┘
           level 2               └─pool─ conv conv (the bottom) ─up─┘

Each level halves the grid and doubles the channels, up to `cap`. The way up meets the way down only
where every pooling divided evenly, so height and width must be multiples of `step`; nothing is
resized or cropped to hide that.

The paper's network has no stem. Where context matters more than the last pixel, a stem that turns
every `patch` x `patch` pixels into one cell makes the receptive field `patch` times as wide, and
the network `patch` squared times as cheap; the head turns each cell into `patch` x `patch` answers.
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
        *,
        width: int = 16,
        depth: int = 3,
        cap: int | None = None,
        patch: int = 1,
    ) -> None:
        """Random weights, until a state is loaded.

        Args:
            in_channels: of the image.
            classes: how many there are.
            width: channels at level 0.
            depth: how many poolings there are.
            cap: the most channels that a level may have; no limit where None.
            patch: pixels along the side of one cell of level 0.
        """
        super().__init__()
        self.step = patch * 2**depth
        doubled = [width * 2**level for level in range(depth + 1)]
        widths = [w if cap is None else min(w, cap) for w in doubled]
        upwards = list(pairwise(reversed(widths)))
        self.stem = nn.Conv2d(in_channels, widths[0], patch, patch) if patch > 1 else nn.Identity()
        entry = widths[0] if patch > 1 else in_channels
        self.down = nn.ModuleList(_block(c, d) for c, d in pairwise([entry, *widths]))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(c, d, 2, stride=2) for c, d in upwards)
        self.up = nn.ModuleList(_block(2 * d, d) for _, d in upwards)
        self.head = nn.ConvTranspose2d(widths[0], classes, patch, patch)

    def forward(self, image: Tensor) -> Tensor:
        """Logits for every pixel."""
        first, *deeper = self.down
        skips = [first(self.stem(image))]
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
