"""The confusion matrix as a picture: a row for each class of the labels, as shares of that row.

                        predicted as
                     ocean  arid  polar
              ocean    98     1      1   ▕███████▏ 97.6     how good each class is
    labelled  arid      3    90      7   ▕██████ ▏ 71.4
              polar    10     5     85   ▕██████ ▏ 85.2

What is right is blue and what is wrong is orange, so that mistakes stand out from the diagonal. The
colour grows with the root of the share: 1 % is seen, and 100 % is not blinding. Few classes have
their shares written into the cells; hundreds have names that thin out before they touch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from anyres_exporter.evaluate.layout import WITH_NUMBERS, Layout
from anyres_exporter.evaluate.lettering import Colour, Letters
from anyres_exporter.evaluate.metrics import Counts
from anyres_exporter.evaluate.report import Classification, Report, Segmentation

PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 32, 40)
FAINT: Colour = (112, 120, 132)
LINE: Colour = (228, 231, 236)
NOTHING: Colour = (244, 245, 247)  # a class that no label names
RIGHT = ("ffffff", "d6e6f4", "a0c8e4", "5fa2d0", "2474b5", "0b4a8c", "08306b")
WRONG = ("ffffff", "fee3c8", "fdbe85", "fb8d3d", "e45d10", "b33c02", "7a2704")
TICKS = (0, 1, 5, 25, 50, 100)  # per cent, on the scales of colours


def chart(report: Report) -> Image.Image:
    """Draw the confusion matrix of a report.

    Raises:
        TypeError: numbers are not confused with each other.
    """
    if not isinstance(report.result, Segmentation | Classification):
        raise TypeError("a confusion matrix is of classes")
    seen = _Seen.of(report.names, report.result)
    layout = Layout.of(seen.names)
    image = Image.new("RGB", layout.size, PAPER)
    _draw_titles(image, layout, report)
    _draw_cells(image, layout, seen.counts)
    _draw_names(image, layout, seen.names)
    _draw_quality(image, layout, seen)
    _draw_scales(image, layout, absent=not seen.counts.any(axis=1).all())
    return image


@dataclass(frozen=True, eq=False)
class _Seen:
    """The classes that are drawn."""

    names: tuple[str, ...]
    counts: Counts
    measure: str
    quality: tuple[float | None, ...]

    @classmethod
    def of(cls, names: tuple[str, ...], result: Segmentation | Classification) -> _Seen:
        counts, classes = result.counts, result.scores.classes
        chosen = np.arange(len(names))
        if len(names) > WITH_NUMBERS:
            chosen = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1))
        by_iu = isinstance(result, Segmentation)
        return cls(
            tuple(names[i] for i in chosen),
            counts[np.ix_(chosen, chosen)],
            "IU" if by_iu else "accuracy",
            tuple(classes[i].iu if by_iu else classes[i].accuracy for i in chosen),
        )


def _draw_titles(image: Image.Image, layout: Layout, report: Report) -> None:
    covered, result = report.coverage, report.result
    assert isinstance(result, Segmentation | Classification)
    at, line = layout.margin, layout.title
    Letters(line, INK, 0.7).write(image, (at, layout.margin + line / 2), report.model)
    what = f"{covered.pictures:,} picture{'s' * (covered.pictures != 1)}"
    if isinstance(result, Segmentation):
        what += f", {covered.compared:,} pixels"
    head = layout.margin + line / 2
    gap = Letters(line, INK, 0.7).wide(report.model) + 24
    Letters(layout.small, FAINT).write(image, (at + gap, head + 4), what)
    x = float(at)
    for name, value in _headline(result):
        Letters(layout.small, FAINT).write(image, (x, head + 1.7 * line), name)
        x += Letters(layout.small, FAINT).wide(name) + 10
        Letters(layout.small, INK, 0.4).write(image, (x, head + 1.7 * line), value)
        x += Letters(layout.small, INK, 0.4).wide(value) + 34


def _headline(result: Segmentation | Classification) -> list[tuple[str, str]]:
    scores = result.scores
    if isinstance(result, Segmentation):
        found: list[tuple[str, float | None]] = [
            ("pixel accuracy", scores.pixel_accuracy),
            ("mean accuracy", scores.mean_accuracy),
            ("mean IU", scores.mean_iu),
            ("frequency-weighted IU", scores.frequency_weighted_iu),
        ]
    else:
        found = [("top-1", result.top1), ("top-5", result.top5)]
        found += [("mean accuracy", scores.mean_accuracy)]
    return [(name, f"{value * 100:.1f} %") for name, value in found if value is not None]


def _draw_cells(image: Image.Image, layout: Layout, counts: Counts) -> None:
    labelled = counts.sum(axis=1)
    shares = counts / np.maximum(labelled, 1)[:, None]
    colours = _ramp(WRONG, shares)
    diagonal = np.arange(layout.classes)
    colours[diagonal, diagonal] = _ramp(RIGHT, shares.diagonal())
    colours[labelled == 0] = NOTHING
    cells = Image.fromarray(colours).resize((layout.side, layout.side), Image.Resampling.NEAREST)
    image.paste(cells, (layout.left, layout.top))
    _draw_lines(image, layout)
    if layout.classes <= WITH_NUMBERS:
        for i, j in np.argwhere(counts):
            _draw_share(image, layout, (int(i), int(j)), float(shares[i, j]), colours[i, j])


def _draw_share(
    image: Image.Image,
    layout: Layout,
    cell: tuple[int, int],
    share: float,
    behind: NDArray[np.uint8],
) -> None:
    dark = float(behind @ np.array([0.299, 0.587, 0.114])) < 140
    right = cell[0] == cell[1]
    ink = PAPER if dark else INK if right or share >= 0.005 else FAINT
    text = f"{share * 100:.0f}" if share >= 0.005 else "<1"
    size = round(layout.cell * (0.34 if right else 0.3))
    at = layout.left + layout.middle(cell[1]), layout.top + layout.middle(cell[0])
    Letters(size, ink, 0.4 if right else 0.0).write(image, at, text, "mm")


def _draw_lines(image: Image.Image, layout: Layout) -> None:
    draw = ImageDraw.Draw(image)
    step = layout.cell if layout.cell >= 10 else layout.side
    left, top, side = layout.left, layout.top, layout.side
    for at in range(0, side + 1, step):
        draw.line((left + at, top, left + at, top + side), LINE)
        draw.line((left, top + at, left + side, top + at), LINE)


def _draw_names(image: Image.Image, layout: Layout, names: tuple[str, ...]) -> None:
    text, caption = Letters(layout.letters, INK), Letters(layout.small, FAINT)
    gap = layout.letters * 0.6
    for index in range(0, layout.classes, layout.every):
        name = text.cut(names[index], layout.names)
        row = layout.top + layout.middle(index)
        text.write(image, (layout.left - gap, row), name, "rm")
        column = layout.left + layout.middle(index)
        if layout.upright:
            text.stand(image, (column, layout.top - gap + 2), name)
        else:
            text.write(image, (column, layout.top - gap), name, "ms")
    above = layout.names if layout.upright else layout.letters
    caption_y = layout.top - above - layout.letters - layout.small * 0.6
    caption.write(image, (layout.left + layout.side / 2, caption_y), "predicted as", "mm")
    middle = layout.margin + layout.small * 0.5, layout.top + layout.side / 2
    caption.stand(image, middle, "labelled as", centred=True)


def _draw_quality(image: Image.Image, layout: Layout, seen: _Seen) -> None:
    """A bar for each class: its IU, or its accuracy where pictures are classified."""
    draw = ImageDraw.Draw(image)
    left = layout.left + layout.side + layout.letters
    above = layout.top - layout.letters * 0.6
    Letters(layout.small, FAINT).write(image, (left, above), seen.measure, "ls")
    high = max(1.0, min(layout.cell * 0.42, 26.0) / 2)
    text = Letters(min(layout.letters, 20), INK)
    for index, value in enumerate(seen.quality):
        y = layout.top + layout.middle(index)
        draw.rectangle((left, y - high, left + layout.bar, y + high), NOTHING)
        if value:
            draw.rectangle((left, y - high, left + value * layout.bar, y + high), _rgb(RIGHT[4]))
        if index % layout.every == 0:
            shown = "-" if value is None else f"{value * 100:.1f} %"
            text.write(image, (left + layout.bar + 12, y), shown, "lm")


def _draw_scales(image: Image.Image, layout: Layout, *, absent: bool) -> None:
    """The two scales of colours below the matrix, and what they mean."""
    text = Letters(layout.small, FAINT)
    width, high = 300, 16
    x, y = layout.left, layout.top + layout.side + 2 * layout.small
    for name, stops in (("% right", RIGHT), ("% taken for another", WRONG)):
        shares = np.linspace(0, 1, width) ** 2
        bar = np.repeat(_ramp(stops, shares)[None], high, axis=0)
        image.paste(Image.fromarray(bar), (x, y))
        ImageDraw.Draw(image).rectangle((x, y, x + width - 1, y + high - 1), outline=LINE)
        for tick in TICKS:
            at = x + (tick / 100) ** 0.5 * (width - 1), y + high + layout.small
            Letters(16, FAINT).write(image, at, f"{tick}", "mm")
        text.write(image, (x + width + 14, y + high / 2), name)
        x += width + text.wide(name) + 60
    if absent:
        draw = ImageDraw.Draw(image)
        y += 3 * layout.small
        draw.rectangle((layout.left, y, layout.left + 3 * high, y + high), NOTHING, LINE)
        text.write(image, (layout.left + 3 * high + 14, y + high / 2), "in no label")


def _ramp(stops: tuple[str, ...], shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares 0..1 as colours (..., 3)."""
    places = np.sqrt(np.clip(shares, 0, 1)) * (len(stops) - 1)
    table = np.array([_rgb(stop) for stop in stops], float)
    channels = [np.interp(places, np.arange(len(stops)), table[:, c]) for c in range(3)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), np.uint8)


def _rgb(code: str) -> Colour:
    red, green, blue = bytes.fromhex(code)
    return red, green, blue
