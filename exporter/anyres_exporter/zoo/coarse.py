"""A dense network on a coarser grid, for pictures of many pixels and few, large regions.

    (h, w) ── mean of f x f pixels ──> (h/f, w/f) ── network ──> (h/f, w/f) ── bilinear ──> (h, w)

It sees f times as far for the same work per cell, and costs about 1/f^2 of the network per pixel.
The factor is a constant, so the graph stays local and tiles stay exact.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from anyres_exporter.zoo.unet import UNet


class Coarse(nn.Module):
    """(n, c, h, w) to (n, classes, h, w), in steps of `factor` times the network's step.

    Up to `factor` - 1 rows and columns more are no whole cell: a rim without an answer.
    """

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, image: Tensor) -> Tensor:
        """Logits for every pixel, interpolated between the network's cells."""
        cells = self.network(F.avg_pool2d(image, self.factor))
        return F.interpolate(cells, scale_factor=float(self.factor), mode="bilinear")


def coarse_unet(
    in_channels: int = 3,
    classes: int = 2,
    width: int = 16,
    depth: int = 5,
    widest: int = 64,
    factor: int = 4,
) -> Coarse:
    """A U-Net on a grid `factor` times as coarse as the picture."""
    return Coarse(UNet(in_channels, classes, width, depth, widest), factor)
