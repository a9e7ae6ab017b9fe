"""Fully convolutional networks without the pad of 100: every layer pads by half its kernel.

After Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation. CVPR 2015

    image ── trunk ──> /32 ── head, score ── x2, crop ──+── x2, crop ──+── x8, crop
               ├─────> /16 ── score ────────────────────┘              │
               └─────> /8  ── score ───────────────────────────────────┘

The work that the published form spends on 100 pixels of zeros around the image is saved: FCN-8s
takes 21.3 GMACs for a 224x224 image in place of 62.9. Halvings round up, so a map of stride s has
ceil(h / s) rows, and what is interpolated from the next coarser one is as large or larger: it is
cropped at its end, never at its beginning, so pixels stay on pixels. Every size goes through, down
to one pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from anyres_exporter.zoo import resnet, vgg
from anyres_exporter.zoo.bilinear import around_cells, on_cells
from anyres_exporter.zoo.crop import crop
from anyres_exporter.zoo.fcn import CLASSES
from anyres_exporter.zoo.maps import Pools, Stages

STRIDES = (32, 16, 8)


@dataclass(frozen=True)
class Body:
    """What scores are made of.

    Args:
        trunk: an image to its maps of strides 8, 16 and 32.
        head: over the last map; it keeps the map's size.
        widths: channels of the head, and of the maps of strides 16 and 8.
        interpolated: (channels, factor) to an interpolation that fits where the cells lie.
    """

    trunk: nn.Module
    head: nn.Module
    widths: tuple[int, int, int]
    interpolated: Callable[[int, int], nn.ConvTranspose2d]


class PaddedFCN(nn.Module):
    """(n, 3, h, w) to scores (n, classes, h, w), at every size."""

    def __init__(self, body: Body, stride: int, classes: int) -> None:
        """Random weights, but for the interpolations.

        Raises:
            ValueError: `stride`, that of the finest map that is scored, is not 32, 16 or 8.
        """
        super().__init__()
        if stride not in STRIDES:
            raise ValueError(f"no map of stride {stride} is scored; expected 32, 16 or 8")
        scored = body.widths[: STRIDES.index(stride) + 1]
        self.trunk = body.trunk
        self.head = body.head
        self.scores = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in scored)
        self.rise = nn.ModuleList(body.interpolated(classes, 2) for _ in scored[1:])
        self.upscore = body.interpolated(classes, stride)

    def forward(self, image: Tensor) -> Tensor:
        """Scores for every pixel."""
        *finer, coarsest = self.trunk(image)
        score, *skips = self.scores
        x = score(self.head(coarsest))
        for rise, skip in zip(self.rise, skips, strict=True):
            y = skip(finer.pop())
            x = crop(rise(x), y, 0) + y
        return crop(self.upscore(x), image, 0)


def padded_fcn_vgg16(stride: int = 8, classes: int = CLASSES, thinner: int = 1) -> PaddedFCN:
    """On VGG16, fc6 and fc7 as convolutions; a cell lies in the middle of its pixels."""
    *_, third, fourth, last = (width // thinner for width in vgg.WIDTHS)
    hidden = vgg.HIDDEN // thinner
    head = nn.Sequential(
        *(nn.Conv2d(last, hidden, vgg.MAP, padding=vgg.MAP // 2), nn.ReLU(inplace=True)),
        nn.Dropout(),
        *(nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True)),
        nn.Dropout(),
    )
    trunk = Pools(vgg.trunk(vgg.VGG16, ceil=True, thinner=thinner))
    body = Body(trunk, head, (hidden, fourth, third), around_cells)
    return PaddedFCN(body, stride, classes)


def fcn_resnet18(stride: int = 8, classes: int = CLASSES, thinner: int = 1) -> PaddedFCN:
    """On ResNet-18, scored without a head between; a cell lies on the first of its pixels."""
    return _on_resnet(resnet.resnet18(thinner=thinner), stride, classes)


def fcn_resnet50(stride: int = 8, classes: int = CLASSES, thinner: int = 1) -> PaddedFCN:
    """On ResNet-50, scored without a head between; a cell lies on the first of its pixels."""
    return _on_resnet(resnet.resnet50(thinner=thinner), stride, classes)


def _on_resnet(classifier: resnet.ResNet, stride: int, classes: int) -> PaddedFCN:
    third, fourth, last = classifier.widths[1:]
    body = Body(Stages(classifier), nn.Identity(), (last, fourth, third), on_cells)
    return PaddedFCN(body, stride, classes)
