"""Heads of dense networks that answer something else than one class a pixel, and U-Nets with them.

Numbers for every pixel (a depth, a height, a density), or what objects are told apart by:

    semantic   scores of the classes
    centre     how near the middle of an object is: a bump on each one's
    offset     (rows, columns) in pixels from here to the middle of the object that is here

A pixel belongs to the object whose middle is the nearest to pixel + offset (Cheng et al.,
"Panoptic-DeepLab", CVPR 2020). Finding the bumps looks at the whole image, so that is left to who
asks; the three maps are local, and tiles of them are exact.
"""

from __future__ import annotations

from torch import Tensor, nn

from anyres_exporter.zoo.unet import UNet

BRANCH = 32  # channels between, of a branch for objects


class Values(nn.Module):
    """Features (n, channels, h, w) to {"values": (n, values, h, w)}: any numbers, unbounded."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = nn.Conv2d(channels, values, 1)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Numbers for every pixel."""
        return {"values": self.values(features)}


class Objects(nn.Module):
    """Features (n, channels, h, w) to the three maps; two channels of offset, one of centre."""

    def __init__(self, channels: int, classes: int, branch: int) -> None:
        super().__init__()
        self.semantic = _branch(channels, channels, classes)
        self.centre = _branch(channels, branch, 1)
        self.offset = _branch(channels, branch, 2)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """All three for every pixel."""
        return {
            "semantic": self.semantic(features),
            "centre": self.centre(features),
            "offset": self.offset(features),
        }


def unet_values(
    in_channels: int = 3, values: int = 1, width: int = 16, depth: int = 3, *, valid: bool = False
) -> UNet:
    """A U-Net for dense regression: by default one value a pixel."""
    unet = UNet(in_channels, values, width, depth, valid=valid)
    unet.head = Values(width, values)
    return unet


def unet_objects(
    in_channels: int = 3,
    classes: int = 2,
    width: int = 16,
    depth: int = 3,
    branch: int = BRANCH,
) -> UNet:
    """A U-Net for instance segmentation; same-padded."""
    unet = UNet(in_channels, classes, width, depth)
    unet.head = Objects(width, classes, branch)
    return unet


def _branch(channels: int, between: int, out: int) -> nn.Sequential:
    """5x5 and 1x1, as Panoptic-DeepLab's."""
    return nn.Sequential(
        nn.Conv2d(channels, between, 5, padding=2, bias=False),
        nn.BatchNorm2d(between),
        nn.ReLU(inplace=True),
        nn.Conv2d(between, out, 1),
    )
