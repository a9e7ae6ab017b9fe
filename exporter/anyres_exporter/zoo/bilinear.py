"""Bilinear interpolation as a transposed convolution, from which training may depart.

Long et al., "Fully Convolutional Networks for Semantic Segmentation" (CVPR 2015), 3.3. A kernel of
2f or 2f - 1 weights, a tent over two cells, interpolates at every f-th of a cell; each channel by
itself, until it is trained. An even kernel puts the outputs of a cell around its middle, an odd
one puts every f-th output on a cell:

    cells               o       o       o       o
    even, 2f = 8     . . . . . . . . . . . . . . . .          f = 4
    odd, 2f - 1 = 7     . . . . . . . . . . . . . . . .
"""

from __future__ import annotations

import torch
from torch import nn


def interpolation(channels: int, kernel: int, factor: int) -> nn.ConvTranspose2d:
    """(n, c, h, w) to (n, c, factor * (h - 1) + kernel, ...): nothing is cut off."""
    return _tent(nn.ConvTranspose2d(channels, channels, kernel, factor, bias=False))


def around_cells(channels: int, factor: int) -> nn.ConvTranspose2d:
    """(n, c, h, w) to (n, c, factor * h, factor * w), for cells that lie between pixels.

    A cell is the middle of its pixels, as after poolings without padding; `factor` is even.
    """
    kernel, cut = 2 * factor, factor // 2
    return _tent(nn.ConvTranspose2d(channels, channels, kernel, factor, cut, bias=False))


def on_cells(channels: int, factor: int) -> nn.ConvTranspose2d:
    """(n, c, h, w) to (n, c, factor * h, factor * w), for cells that lie on pixels.

    A cell is the first of its pixels, as after odd kernels that are padded by half their size.
    """
    kernel, cut = 2 * factor - 1, factor - 1
    return _tent(nn.ConvTranspose2d(channels, channels, kernel, factor, cut, cut, bias=False))


def _tent(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """The same layer, with 1 - distance / factor from its middle, in rows times in columns."""
    kernel, factor = layer.kernel_size[0], layer.stride[0]
    along = 1 - (torch.arange(kernel) - (kernel - 1) / 2).abs() / factor
    with torch.no_grad():
        layer.weight.zero_()
        torch.diagonal(layer.weight).copy_((along[:, None] * along)[..., None])
    return layer
