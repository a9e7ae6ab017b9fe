"""How right a job's class maps are, where the true ones are known: mean IoU and pixel accuracy.

    IoU of a class = cells that are it and are called it / cells that are it or are called it

as Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation" (2015),
section 5. Counts of an image are part of its line, so that a rerun adds up the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyres_client.answers import size_text
from anyres_client.errors import InvalidRequest

BROKEN = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)  # Pillow's
IGNORED = 255  # a label that says nothing, by the convention of the Pascal VOC

Counts: TypeAlias = list[tuple[int, int, int]]  # label, class, cells
Label: TypeAlias = NDArray[np.integer[Any]]  # (height, width)


@dataclass(frozen=True)
class Scores:
    """Over all images together, 0..1."""

    mean_iou: float
    pixel_accuracy: float


def label(folder: Path, name: str) -> Label:
    """The true classes of an image: a PNG of its name, with any suffix.

    Raises:
        InvalidRequest: there is none, or it holds colours.
    """
    places = (folder / f"{name}.png", (folder / name).with_suffix(".png"))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InvalidRequest(f"it has no label {places[1]}")
    try:
        with Image.open(path) as image:
            found = np.asarray(image)
    except BROKEN as error:
        raise InvalidRequest(f"its label {path} cannot be read") from error
    if found.ndim != 2:
        raise InvalidRequest(f"its label {path} holds colours, not classes")
    return found


def counts(true: NDArray[Any], found: NDArray[Any]) -> Counts:
    """How many cells of each label got each class; what is ignored is left out.

    Raises:
        InvalidRequest: they differ in size.
    """
    if true.shape != found.shape:
        sizes = [size_text((each.shape[0], each.shape[1])) for each in (true, found)]
        raise InvalidRequest(f"its label is {sizes[0]}, the image {sizes[1]}")
    told = true != IGNORED
    pairs, cells = np.unique(
        np.stack([true[told].astype(np.int64), found[told].astype(np.int64)]),
        axis=1,
        return_counts=True,
    )
    return [(int(t), int(f), int(n)) for (t, f), n in zip(pairs.T, cells, strict=True)]


def scores(every: Iterable[Counts]) -> Scores | None:
    """The scores of all images; None where nothing was labelled."""
    cells: Mapping[tuple[int, int], int] = _summed(every)
    total = sum(cells.values())
    if not total:
        return None
    kinds = {kind for pair in cells for kind in pair}
    ious = []
    for kind in kinds:
        union = sum(n for pair, n in cells.items() if kind in pair)
        ious.append(cells.get((kind, kind), 0) / union)
    right = sum(n for (true, found), n in cells.items() if true == found)
    return Scores(sum(ious) / len(ious), right / total)


def _summed(every: Iterable[Counts]) -> dict[tuple[int, int], int]:
    cells: dict[tuple[int, int], int] = {}
    for image in every:
        for true, found, n in image:
            cells[true, found] = cells.get((true, found), 0) + n
    return cells
