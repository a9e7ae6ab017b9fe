"""Fully convolutional networks as published, with the pad of 100 and the crops of the Caffe files.

Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation. CVPR 2015

    image, pad 100 ── trunk ──> /32 ── fc6, fc7, score ── x2 ──+── x2 ──+── x8 ── crop
                        ├─────> /16 ── score ── crop ──────────┘        │
                        └─────> /8  ── score ── crop ───────────────────┘     FCN-8s

fc6 is the classifier's first layer as a convolution without padding. So that no image is too small
for it, the first layer pads by 100; what is scored reaches beyond the image, and each crop's offset
puts pixels back on pixels. All poolings keep a last window that is not full. An image of any size,
down to one pixel, is answered pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from anyres_exporter.zoo import alexnet, vgg
from anyres_exporter.zoo.bilinear import interpolation
from anyres_exporter.zoo.crop import crop
from anyres_exporter.zoo.maps import Pools

PAD = 100
CLASSES = 21  # of PASCAL VOC, with background


@dataclass(frozen=True)
class Upsampling:
    """From scores to pixels: a crop's offset for each finer map, then the last layer and its crop.

    `skips` are those of the maps of strides 16 and 8, as far as they are used.
    """

    skips: tuple[int, ...]
    kernel: int
    factor: int
    offset: int


VGG16 = {
    32: Upsampling((), kernel=64, factor=32, offset=19),
    16: Upsampling((5,), kernel=32, factor=16, offset=27),
    8: Upsampling((5, 9), kernel=16, factor=8, offset=31),
}
ALEXNET = Upsampling((), kernel=63, factor=32, offset=18)


class FCN(nn.Module):
    """(n, 3, h, w) to scores (n, classes, h, w), at every size."""

    def __init__(
        self,
        trunk: nn.Module,
        widths: tuple[int, ...],
        fc6: nn.Conv2d,
        classes: int,
        upsampling: Upsampling,
    ) -> None:
        """Random weights, but for the interpolations.

        Args:
            trunk: an image to its maps, the finest first.
            widths: channels of the maps that are scored beside the last, the coarsest first.
            fc6: the head's first layer, over the last map.
            classes: how many.
            upsampling: how scores become pixels.
        """
        super().__init__()
        self.offsets = upsampling.skips
        self.offset = upsampling.offset
        hidden = fc6.out_channels
        self.trunk = trunk
        self.fc6 = nn.Sequential(fc6, nn.ReLU(inplace=True), nn.Dropout())
        self.fc7 = nn.Sequential(nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True), nn.Dropout())
        self.score = nn.Conv2d(hidden, classes, 1)
        self.skips = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in widths)
        self.rise = nn.ModuleList(interpolation(classes, 4, 2) for _ in widths)
        self.upscore = interpolation(classes, upsampling.kernel, upsampling.factor)

    def forward(self, image: Tensor) -> Tensor:
        """Scores for every pixel."""
        *finer, coarsest = self.trunk(image)
        x = self.score(self.fc7(self.fc6(coarsest)))
        for rise, skip, offset in zip(self.rise, self.skips, self.offsets, strict=True):
            x = rise(x)
            x = x + crop(skip(finer.pop()), x, offset)
        return crop(self.upscore(x), image, self.offset)


def fcn_vgg16(stride: int = 8, classes: int = CLASSES, thinner: int = 1) -> FCN:
    """FCN-32s, 16s or 8s on VGG16: 134 346 581 parameters up to the scores of 21 classes.

    Args:
        stride: of the finest map that is scored: 32, 16 or 8.
        classes: how many.
        thinner: what all other widths are divided by.

    Raises:
        ValueError: the stride is none of these.
    """
    if stride not in VGG16:
        raise ValueError(f"no map of stride {stride} is scored; expected 32, 16 or 8")
    upsampling = VGG16[stride]
    *_, third, fourth, last = (width // thinner for width in vgg.WIDTHS)
    trunk = vgg.trunk(vgg.VGG16, pad=PAD, ceil=True, thinner=thinner)
    fc6 = nn.Conv2d(last, vgg.HIDDEN // thinner, vgg.MAP)
    widths = (fourth, third)[: len(upsampling.skips)]
    return FCN(Pools(trunk), widths, fc6, classes, upsampling)


def fcn_alexnet(classes: int = CLASSES, thinner: int = 1) -> FCN:
    """FCN-AlexNet, in Caffe's form: 56 954 261 parameters up to the scores of 21 classes."""
    trunk = alexnet.caffe_trunk(pad=PAD, thinner=thinner)
    fc6 = nn.Conv2d(256 // thinner, alexnet.HIDDEN // thinner, alexnet.MAP)
    return FCN(Pools(trunk), (), fc6, classes, ALEXNET)
