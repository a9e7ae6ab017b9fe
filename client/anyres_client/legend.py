"""The strip below an overlay: which colour is which class, or how hot is how probable.

┌──────────────────────────────────────────────┐
│ ■ ocean 61 %   ■ tropical 14 %   ■ polar 9 % │      wrapped to the width it is given
└──────────────────────────────────────────────┘
┌──────────────────────────────────────────────┐
│ Egyptian cat            0 % ░░▒▒▓▓███  71 %  │
└──────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anyres_client.answers import percent
from anyres_client.palette import inferno

BACKGROUND = (24, 26, 31)
TEXT = (236, 238, 242)
FAINT = (158, 164, 174)
MOST_CLASSES = 16
ELLIPSIS = "..."

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Entry:
    """One class: its colour, its name, and its share of all cells, 0..1."""

    colour: tuple[int, ...] | None
    name: str
    share: float

    @property
    def percent(self) -> str:
        """The share as people read it."""
        return percent(self.share)


@dataclass(frozen=True)
class _Type:
    """The measures of a strip, all from the size of its letters."""

    size: int

    @classmethod
    def fit(cls, width: int) -> _Type:
        return cls(max(12, round(width / 40)))

    @property
    def font(self) -> Font:
        return ImageFont.load_default(self.size)

    @property
    def margin(self) -> int:
        return round(self.size * 0.9)

    @property
    def line(self) -> int:
        return round(self.size * 1.7)

    def wide(self, text: str) -> int:
        return round(self.font.getlength(text))

    def cut(self, text: str, width: int) -> str:
        """The text, shortened to fit."""
        if self.wide(text) <= width:
            return text
        while text and self.wide(text + ELLIPSIS) > width:
            text = text[:-1]
        return text.rstrip() + ELLIPSIS


def of_classes(classes: Sequence[Entry], width: int) -> Image.Image:
    """Swatch, name and share of every class, in the order given."""
    letters = _Type.fit(width)
    rows = _wrap(_shown(classes), letters, width - 2 * letters.margin)
    height = len(rows) * letters.line + 2 * (letters.margin // 2)
    strip = Image.new("RGB", (width, height), BACKGROUND)
    for row, entries in enumerate(rows):
        _draw_row(strip, entries, letters, row * letters.line + letters.margin // 2)
    return strip


def of_heat(name: str, peak: float, width: int) -> Image.Image:
    """The class's name, and the colours from 0 to the highest probability in the picture."""
    letters = _Type.fit(width)
    strip = Image.new("RGB", (width, letters.line + 2 * (letters.margin // 2)), BACKGROUND)
    draw, middle = ImageDraw.Draw(strip), strip.height // 2
    high, low = f"{peak * 100:.0f} %", "0 %"
    bar = min(width // 4, letters.size * 12)
    at = width - letters.margin - letters.wide(high)
    draw.text((at, middle), high, FAINT, letters.font, anchor="lm")
    at -= bar + letters.size // 2
    strip.paste(_colour_bar(bar, letters.size), (at, middle - letters.size // 2))
    at -= letters.wide(low) + letters.size // 2
    draw.text((at, middle), low, FAINT, letters.font, anchor="lm")
    title = letters.cut(name, at - 2 * letters.margin)
    draw.text((letters.margin, middle), title, TEXT, letters.font, anchor="lm")
    return strip


def _shown(classes: Sequence[Entry]) -> list[Entry]:
    """The first of them, and the others as one."""
    rest = classes[MOST_CLASSES:]
    more = [Entry(None, f"{len(rest)} more", sum(entry.share for entry in rest))] if rest else []
    return [*classes[:MOST_CLASSES], *more]


def _wide(entry: Entry, letters: _Type) -> int:
    """An entry's width: swatch, name, share, and the gap to the next."""
    swatch = round(letters.size * 1.4) if entry.colour else 0
    return swatch + letters.wide(f"{entry.name} {entry.percent}") + round(letters.size * 1.6)


def _wrap(entries: list[Entry], letters: _Type, width: int) -> list[list[Entry]]:
    rows: list[list[Entry]] = [[]]
    left = width
    for entry in entries:
        needed = _wide(entry, letters)
        if rows[-1] and needed - round(letters.size * 1.6) > left:
            rows.append([])
            left = width
        rows[-1].append(entry)
        left -= needed
    return rows


def _draw_row(strip: Image.Image, entries: list[Entry], letters: _Type, top: int) -> None:
    draw, at, middle = ImageDraw.Draw(strip), letters.margin, top + letters.line // 2
    for entry in entries:
        x = at
        if entry.colour:
            half = letters.size // 2
            box = (x, middle - half, x + 2 * half, middle + half)
            draw.rounded_rectangle(box, letters.size // 5, entry.colour)
            x += round(letters.size * 1.4)
        draw.text((x, middle), entry.name, TEXT, letters.font, anchor="lm")
        x += letters.wide(f"{entry.name} ")
        draw.text((x, middle), entry.percent, FAINT, letters.font, anchor="lm")
        at += _wide(entry, letters)


def _colour_bar(width: int, height: int) -> Image.Image:
    row = inferno(np.linspace(0, 1, width, dtype=np.float32))
    return Image.fromarray(np.repeat(row[None], height, axis=0))
