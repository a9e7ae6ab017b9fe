"""Part of a map, as large as another."""

from __future__ import annotations

from torch import Tensor


def crop(x: Tensor, like: Tensor, offset: int) -> Tensor:
    """The part of (n, c, h, w) that begins `offset` rows and columns in, as large as `like`."""
    height, width = like.shape[-2:]
    return x[:, :, offset : offset + height, offset : offset + width]
