"""The images of a benchmark, made before the clock starts.

Tensors are views of one store of random values, so having one costs nothing; a PNG has the detail
of a photograph, more or less, because noise would not compress and grey would be too easy.
"""

from __future__ import annotations

from io import BytesIO
from math import prod

import numpy as np
from PIL import Image

from anyres_server.bench.work import In, Work
from anyres_server.model import Array, Size

BLUR = 16  # pixels between two random ones
GRAIN = 4  # of 256


class Images:
    """What travels for each request of some work, and what a network makes of it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        elements = work.card.input.channels * max(map(prod, work.sizes))
        random = np.random.default_rng(0)
        self._bytes = random.integers(0, 256, elements, np.uint8)
        self._floats = self._bytes / np.float32(255)
        self._files = (
            {size: self._png(size) for size in set(work.sizes)} if work.given is In.PNG else {}
        )

    def input(self, index: int) -> Array:
        """One image as the network takes it."""
        spec = self._work.card.input
        store = self._bytes if spec.dtype == "uint8" else self._floats
        return _view(store, spec.shape(1, *self._work.sizes[index]))

    def sent(self, index: int) -> bytes | Array:
        """The image as it travels: a file, uint8 (h, w, channels) or float32 (channels, h, w)."""
        height, width = size = self._work.sizes[index]
        channels = self._work.card.input.channels
        match self._work.given:
            case In.PNG:
                return self._files[size]
            case In.UINT8:
                return _view(self._bytes, (height, width, channels))
            case In.FP32:
                return _view(self._floats, (channels, height, width))

    def _png(self, size: Size) -> bytes:
        height, width = size
        channels = self._work.card.input.channels
        coarse = _view(self._bytes, (height // BLUR + 1, width // BLUR + 1, channels))
        picture = Image.fromarray(coarse[..., 0] if channels == 1 else coarse)
        fine = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
        grain = _view(self._bytes, fine.shape) % GRAIN
        file = BytesIO()
        Image.fromarray(np.minimum(fine, 255 - GRAIN) + grain).save(file, "PNG", compress_level=1)
        return file.getvalue()


def _view(store: Array, shape: tuple[int, ...]) -> Array:
    return store[: prod(shape)].reshape(shape)
