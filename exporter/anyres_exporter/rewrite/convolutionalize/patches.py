"""What was measured: a dense answer against the classifier on the patch that it stands for.

Cell (i, j) of the grid stands for the patch of the native size that begins S * i pixels down and
S * j to the right, S being the output's stride. The two see the same pixels. They are equal where
nothing reaches across the patch's border; but most networks pad each convolution with zeros, and
what is a zero at the border of a patch is a pixel inside a larger image:

    the patch alone   0 0 0 | x x x x x | 0 0 0
    in the image      p p p | x x x x x | p p p

How far they differ is a property of the network, so it is measured, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from anyres_analyzer.sizes.contract import AxisContract
from anyres_exporter.rewrite.convolutionalize.asking import Array, dense, noise, original
from anyres_exporter.rewrite.convolutionalize.convert import Answer, Converted
from anyres_exporter.rewrite.convolutionalize.native import TOLERANCE
from anyres_exporter.rewrite.convolutionalize.reasons import reasons
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible
from anyres_exporter.rewrite.convolutionalize.source import Size

STEPS = 7  # cells of a grid beyond the first: images are cut to so many strides more than a patch
CELLS = 64  # patches that the classifier is asked about, evenly over all grids
NOISES = 2  # images where no photographs are given


@dataclass(frozen=True)
class Patches:
    """Differences of the logits: absolute, and of the largest magnitude among the classifier's.

    `cells` of the `of` that the images' grids have were compared. `reasons` says why the two need
    not be equal; where there is none, they are.
    """

    images: int
    photographs: bool
    cells: int
    of: int
    max_abs_difference: float
    mean_abs_difference: float
    max_rel_difference: float
    argmax_agreement: float
    reasons: tuple[str, ...]


def middle(size: Size, converted: Converted) -> tuple[slice, slice] | None:
    """The rows and columns in the middle of an image that its grid is to be of.

    None where the image is too small for a patch.
    """
    lengths = [
        _largest(contract, min(length, patch + STEPS * stride))
        for contract, length, patch, stride in zip(
            _contracts(converted), size, converted.source.size, _strides(converted), strict=True
        )
    ]
    if any(a < b for a, b in zip(lengths, converted.source.size, strict=True)):
        return None
    rows, columns = (
        slice((whole - length) // 2, (whole - length) // 2 + length)
        for whole, length in zip(size, lengths, strict=True)
    )
    return rows, columns


def noises(converted: Converted) -> Iterator[Array]:
    """Seeded images, where no photographs are given."""
    height, width = (
        _largest(contract, patch + STEPS * stride)
        for contract, patch, stride in zip(
            _contracts(converted), converted.source.size, _strides(converted), strict=True
        )
    )
    for seed in range(NOISES):
        yield noise(seed + 1, converted.source, (height, width))[:1]


def measure(converted: Converted, images: Iterable[Array], *, photographs: bool) -> Patches:
    """Compare the first output's logits, cell by cell.

    Args:
        converted: before it is upsampled.
        images: one at a time, in the classifier's layout and type.
        photographs: whether they are; the record says so.

    Raises:
        NotConvertible: they differ and nothing in the graph could make them.
        DoesNotRun: one of the two does not run.
    """
    answer, strides = converted.answer, _strides(converted)
    run, ask = dense(converted), original(converted.source, [answer.logits])
    images_at_once = 1 if converted.analysis.input.dynamic_batch else converted.source.graph.batch
    grids = [
        (image, _grid(run(np.repeat(image, images_at_once, axis=0))[answer.map], answer))
        for image in images
    ]
    places = [
        (image, grid[0, :, i, j], i * strides[0], j * strides[1])
        for image, grid in grids
        for i, j in np.ndindex(*grid.shape[2:])
        if _holds(image, converted, i * strides[0], j * strides[1])
    ]
    chosen = _evenly(len(places), CELLS)
    told, made = [], []
    for image, logits, y, x in (places[index] for index in chosen):
        batch = np.repeat(_patch(image, converted, y, x), converted.source.graph.batch, axis=0)
        told.append(ask(batch)[answer.logits].reshape(len(batch), -1)[0])
        made.append(logits)
    found = _compared(np.array(told), np.array(made))
    why = reasons(converted)
    if not why and not found[2] <= TOLERANCE:
        raise NotConvertible(
            f"nothing in it reaches across a patch's border, and yet a dense answer differs from "
            f"the classifier's by {found[2]:.1e} of the largest value"
        )
    return Patches(len(grids), photographs, len(chosen), len(places), *found, why)


def _compared(told: Array, made: Array) -> tuple[float, float, float, float]:
    with np.errstate(invalid="ignore"):
        difference = np.where(told == made, 0.0, np.abs(told.astype(np.float64) - made))
    scale = float(np.abs(told).max(initial=0.0, where=np.isfinite(told))) or 1.0
    agree = told.argmax(1) == made.argmax(1)
    worst = float(difference.max())
    return worst, float(difference.mean()), worst / scale, float(agree.mean())


def _grid(logits: Array, answer: Answer) -> Array:
    """One answer a patch: the mean over its cells, where each has an answer of its own."""
    if not answer.dropped:
        return logits
    windows = np.lib.stride_tricks.sliding_window_view(logits, answer.window, axis=(2, 3))
    mean: Array = windows.mean((-2, -1))
    return mean


def _contracts(converted: Converted) -> tuple[AxisContract, AxisContract]:
    return converted.analysis.sizes.height, converted.analysis.sizes.width


def _strides(converted: Converted) -> tuple[int, int]:
    height, width = converted.analysis.output.stride
    if height.denominator != 1 or width.denominator != 1:
        raise NotConvertible(f"its answers are {width} by {height} pixels apart; no patch is")
    return int(height), int(width)


def _largest(contract: AxisContract, size: int) -> int:
    """The largest admissible size up to this one."""
    return size - (size - contract.minimum) % contract.step


def _holds(image: Array, converted: Converted, y: int, x: int) -> bool:
    return _patch(image, converted, y, x).shape == _patch(image, converted, 0, 0).shape


def _patch(image: Array, converted: Converted, y: int, x: int) -> Array:
    """The patch of the native size that begins at (y, x), or what there is of it."""
    places = [slice(None)] * 4
    for side, start, length in zip(_sides(converted), (y, x), converted.source.size, strict=True):
        places[side] = slice(start, start + length)
    return image[tuple(places)]


def _sides(converted: Converted) -> tuple[int, int]:
    return converted.source.graph.layout.sides


def _evenly(count: int, most: int) -> list[int]:
    """At most so many of `count` places, the first and the last among them."""
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)}) if count else []
