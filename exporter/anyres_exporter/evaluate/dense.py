"""A network's answer for each pixel of a picture, part by part: whole or in exact tiles.

However large the picture, what exists at once is one tile's output and one band of it at the
picture's resolution; who asks reduces each band before the next one is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_analyzer.tiling.plan import Cut, Tile, cut
from anyres_exporter.errors import DoesNotRun
from anyres_exporter.evaluate.errors import CannotEvaluate
from anyres_exporter.evaluate.lattice import Lattice, bilinear, nearest
from anyres_exporter.pictures import prepared
from anyres_exporter.runtime import Runtime, first
from anyres_proto.card import Card

BAND_BYTES = 1 << 25  # of one band's values
# What has no middle between two of them: the nearer one answers.
INDIVISIBLE = {"class_map", "mask", "top_k_classes"}


@dataclass(frozen=True, eq=False)
class Patch:
    """Values (channels, h, w) for the pixels of these rows and columns."""

    rows: range
    columns: range
    values: NDArray[Any]


def answer(network: Runtime, pixels: NDArray[np.uint8], card: Card) -> NDArray[Any]:
    """The first output for one image (h, w, channels), as it is but for the batch's axis.

    Raises:
        DoesNotRun: ONNX Runtime does not take it, or what comes out is not a number.
    """
    found: NDArray[Any] = first(network(prepared(pixels, card.input)))[0]
    if found.dtype.kind == "f":
        found = found.astype(np.float32, copy=False)
        if np.isnan(found).any():
            raise DoesNotRun("the network's answer has values that are no numbers (NaN)")
    return found


def patches(
    network: Runtime, pixels: NDArray[np.uint8], card: Card, tiles: Sequence[Tile]
) -> Iterator[Patch]:
    """The network's answer for a picture (h, w, channels), in bands that do not overlap.

    The last tile comes first, because where its output ends is where the whole grid ends.

    Raises:
        CannotEvaluate: the answer is no map.
        DoesNotRun: ONNX Runtime does not take the size.
    """
    size = pixels.shape[0], pixels.shape[1]
    lattices: tuple[Lattice, Lattice] | None = None
    for tile in reversed(tiles):
        rows, columns = tile.rows, tile.columns
        part = pixels[rows.start : rows.stop, columns.start : columns.stop]
        output = _map(answer(network, part, card), card)
        if lattices is None:
            lattices = _lattices(card, tile, output, size)
        height, width = card.output.stride
        cuts = (
            cut(rows, height, size[0], lattices[0].cells),
            cut(columns, width, size[1], lattices[1].cells),
        )
        yield from _bands(output, cuts, lattices, as_classes=card.output.meaning in INDIVISIBLE)


def _map(output: NDArray[Any], card: Card) -> NDArray[Any]:
    """The map of one image, (channels, h, w)."""
    if card.output.layout == "NHW" and output.ndim == 2:
        return output[np.newaxis]
    if output.ndim != 3:
        raise CannotEvaluate(
            f"model '{card.name}' gives one answer for a picture, not one for each pixel"
        )
    return output.transpose(2, 0, 1) if card.output.layout == "NHWC" else output


def _lattices(
    card: Card, last: Tile, output: NDArray[Any], size: tuple[int, int]
) -> tuple[Lattice, Lattice]:
    """Both axes of the whole grid, from its last tile."""
    starts = last.rows.start, last.columns.start
    height, width = (
        Lattice.of(stride, offset, int(start / stride) + cells, pixels)
        for stride, offset, start, cells, pixels in zip(
            card.output.stride, card.output.offset, starts, output.shape[1:], size, strict=True
        )
    )
    return height, width


def _bands(
    output: NDArray[Any],
    cuts: tuple[Cut, Cut],
    lattices: tuple[Lattice, Lattice],
    *,
    as_classes: bool,
) -> Iterator[Patch]:
    """What a tile answers for, a few rows at a time."""
    if any(one.start == one.stop for one in cuts):
        return
    rows, columns = (
        lattice.pixels_of(one.start, one.stop) for lattice, one in zip(lattices, cuts, strict=True)
    )
    begin = cuts[0].start - cuts[0].skip, cuts[1].start - cuts[1].skip
    between = nearest if as_classes else bilinear
    row_bytes = output.shape[0] * max(len(columns), output.shape[2]) * output.itemsize
    step = max(1, BAND_BYTES // max(1, row_bytes))
    for top in range(rows.start, rows.stop, step):
        band = range(top, min(top + step, rows.stop))
        if columns:
            yield Patch(band, columns, between(output, begin, lattices, (band, columns)))
