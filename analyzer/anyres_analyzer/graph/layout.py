"""Where an image's axes are among a tensor's dimensions: channels first, last, or in none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The letters of the dimensions in order: N images, C channels, H height, W width."""

    name: str

    @property
    def channels(self) -> int | None:
        """Which dimension holds the channels; None where there are none."""
        position = self.name.find("C")
        return None if position < 0 else position

    @property
    def sides(self) -> tuple[int, int]:
        """Which dimensions are height and width; counted from the end, so negative."""
        height, width = (self.name.index(letter) - len(self.name) for letter in "HW")
        return height, width

    def shape(self, batch: int, channels: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of a tensor in this layout."""
        sizes = {"N": batch, "C": channels, "H": height, "W": width}
        return tuple(sizes[letter] for letter in self.name)

    def grid(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of a tensor of this shape."""
        height, width = self.sides
        return shape[height], shape[width]


NCHW, NHWC, NHW = map(Layout, ("NCHW", "NHWC", "NHW"))
MAPS = (NCHW, NHWC, NHW)
