"""Text in a drawing: measured, shortened to fit, and stood on end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Spot: TypeAlias = tuple[float, float]

ELLIPSIS = "..."


@dataclass(frozen=True)
class Letters:
    """Letters of one size in pixels and one colour."""

    size: int
    colour: Colour
    weight: float = 0.0  # how much thicker each stroke is drawn

    def wide(self, text: str) -> int:
        """How wide a text is."""
        return ceil(_font(self.size).getlength(text) + 2 * self.weight)

    def cut(self, text: str, width: float) -> str:
        """The text, shortened to fit."""
        if self.wide(text) <= width:
            return text
        while text and self.wide(text + ELLIPSIS) > width:
            text = text[:-1]
        return text.rstrip() + ELLIPSIS

    def write(self, image: Image.Image, at: Spot, text: str, anchor: str = "lm") -> None:
        """Draw a text; the anchor is Pillow's: `lm` is its left end, half-way up."""
        font = _font(self.size)
        ImageDraw.Draw(image).text(
            at, text, self.colour, font, anchor=anchor, stroke_width=self.weight
        )

    def stand(self, image: Image.Image, foot: Spot, text: str, *, centred: bool = False) -> None:
        """Draw a text that reads upwards from its foot, or with its middle there."""
        length, height = self.wide(text) + 4, 2 * self.size
        mask = Image.new("L", (length, height))
        font = _font(self.size)
        ImageDraw.Draw(mask).text((1, height / 2), text, 255, font, anchor="lm")
        turned = mask.transpose(Image.Transpose.ROTATE_90)
        left = round(foot[0] - height / 2)
        top = round(foot[1] - (length / 2 if centred else length))
        image.paste(self.colour, (left, top), turned)


@lru_cache(maxsize=16)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)
