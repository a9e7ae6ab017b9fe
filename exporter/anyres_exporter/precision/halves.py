"""A folder of pictures in two halves: one finds the ranges, the other is never seen by it.

By the order of names, in turns: the 1st, 3rd, 5th ... calibrate, the 2nd, 4th, 6th ... are held
out. A network takes a window from the middle of each, as large as its sizes and `WINDOW` allow; so
one picture costs about the same memory whatever its resolution, and nothing is ever resized.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.errors import BadPicture
from anyres_exporter.pictures import decoded, pictures, prepared
from anyres_proto.card import AxisContract, Card, ImageInput, SizeContract

WINDOW = 512  # pixels a side, or the smallest that the network takes


@dataclass(frozen=True)
class Half:
    """Some of the pictures: iterated as network inputs, decoded one at a time, as often as asked.

    Args:
        paths: the pictures.
        image: what the network's input is made of.
        sizes: which sizes it takes.
        window: pixels a side at most.
    """

    paths: tuple[Path, ...]
    image: ImageInput
    sizes: SizeContract
    window: int = WINDOW

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for path in self.paths:
            yield prepared(_middle(path, decoded(path, self.image), self), self.image)

    def __len__(self) -> int:
        return len(self.paths)

    def some(self, count: int, window: int = WINDOW) -> Half:
        """The first few of them, in smaller windows."""
        return Half(self.paths[:count], self.image, self.sizes, window)


def halves(folder: Path, card: Card) -> tuple[Half, Half]:
    """The half to calibrate on, and the half to compare on.

    Raises:
        BadPicture: the folder holds fewer than two pictures.
    """
    paths = pictures(folder)
    if len(paths) < 2:
        raise BadPicture(
            f"{folder} holds one picture ({paths[0].name}); a variant needs two or more: one to "
            "calibrate on, one to compare on"
        )
    calibration, held_out = paths[::2], paths[1::2]
    return Half(calibration, card.input, card.sizes), Half(held_out, card.input, card.sizes)


def largest(contract: AxisContract, pixels: int) -> int | None:
    """The largest admissible size up to so many pixels; None where there is none."""
    limit = pixels if contract.maximum is None else min(pixels, contract.maximum)
    if limit < contract.minimum:
        return None
    return limit - (limit - contract.minimum) % contract.step


def window_of(sizes: SizeContract, pixels: tuple[int, int], window: int) -> tuple[int, int] | None:
    """The largest (h, w) that the network takes of so many pixels, about `window` a side at most.

    A network that takes nothing so small gets its minimum.
    """
    axes = (sizes.height, sizes.width)
    sides = [
        largest(axis, min(have, max(window, axis.minimum)))
        for axis, have in zip(axes, pixels, strict=True)
    ]
    return None if None in sides else (sides[0] or 0, sides[1] or 0)


def _middle(path: Path, pixels: NDArray[np.uint8], half: Half) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    window = window_of(half.sizes, (height, width), half.window)
    if window is None:
        raise BadPicture(
            f"{path} is {width}x{height}; the model takes a width of "
            f"{half.sizes.width.expected()} and a height of {half.sizes.height.expected()}"
        )
    top, left = (height - window[0]) // 2, (width - window[1]) // 2
    return pixels[top : top + window[0], left : left + window[1]]
