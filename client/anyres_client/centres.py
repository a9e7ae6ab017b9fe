"""Objects from three heads: what a cell is, where centres are, and where each cell's centre is.

A model with such heads (Panoptic-DeepLab, Cheng et al., CVPR 2020, section 3.3) tells objects of
one class apart that touch, which connected regions cannot:

    centres   ...#...#...     peaks of the heat map
    offsets   >>>.<>>.<<<     every cell of a thing points at its centre
    objects   11111222222     and belongs to the peak that is nearest to where it points

Its outputs are of one grid. `Prediction.instances` takes them from a prediction of a model whose
card says which they are; `grouped` is for arrays that come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from anyres_client.errors import InvalidRequest
from anyres_client.instances import Found, Instance, numbered
from anyres_client.regions import Region, labelled

Floats: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[np.int32]

AT_ONCE = 2**22  # distances between a cell and a centre


@dataclass(frozen=True)
class Peaks:
    """Which maxima of a heat map are centres; the defaults are the paper's."""

    threshold: float = 0.1
    window: int = 7  # cells: the highest of so many squared; odd
    most: int = 200


PAPER = Peaks()


@dataclass(frozen=True, eq=False)
class Heads:
    """What the network says of every cell of one grid."""

    classes: NDArray[Any]  # the class map, (h, w), or a score for every class, (classes, h, w)
    centres: (
        Floats  # how likely a centre is here, (1, h, w), or for each of `things`, (things, h, w)
    )
    offsets: Floats  # from each cell to its centre, in cells, down and right: (2, h, w)


def grouped(
    heads: Heads,
    names: Sequence[str],
    *,
    things: Collection[int],
    confidence: Floats | None = None,
    peaks: Peaks = PAPER,
) -> tuple[Instance, ...]:
    """The objects of some classes, in cells of the grid, the largest first.

    An object's class is what most of its cells are. Its score is its centre's heat, times the mean
    of `confidence` over its cells where that is given.

    Args:
        heads: the network's outputs.
        names: every class's name.
        things: the classes whose cells belong to objects; where there is a heat map for each, they
            are in the maps' order.
        confidence: the probability of each cell's class, (h, w), 0..1.
        peaks: which maxima are centres.

    Raises:
        InvalidRequest: shapes do not go together.
    """
    return numbered(objects(heads, things=things, confidence=confidence, peaks=peaks), names)


def objects(
    heads: Heads,
    *,
    things: Collection[int],
    confidence: Floats | None = None,
    peaks: Peaks = PAPER,
    placed: Callable[[Labels], Labels] = lambda cells: cells,
) -> list[Found]:
    """The same objects, each as its region and its score.

    Args:
        heads: see `grouped`; so are things and peaks.
        things: see `grouped`.
        confidence: see `grouped`; of the size that `placed` makes.
        peaks: see `grouped`.
        placed: makes of a number for every cell (h, w) one for every pixel of the image.

    Raises:
        InvalidRequest: shapes do not go together.
    """
    ordered = list(things)
    classes = _checked(heads, len(ordered), peaks)
    found = centres(heads.centres, peaks)
    labels = _labels(classes, found, heads, ordered)
    votes = _votes(labels, classes, len(found))
    made: list[Found] = []
    for label, region in labelled(placed(labels), dict(enumerate(votes.tolist(), start=1))):
        score = float(heads.centres[tuple(found[label - 1])])
        made.append((region, score * _sure(region, confidence)))
    return made


def centres(heat: Floats, peaks: Peaks = PAPER) -> NDArray[np.intp]:
    """Where a heat map (c, h, w) has its peaks, the highest first: map, row, column: (n, 3).

    A peak is above the threshold and not below any cell of the window around it.
    """
    highest = _highest(_highest(heat, 1, peaks.window), 2, peaks.window)
    found = np.argwhere((heat == highest) & (heat > peaks.threshold))
    order = np.argsort(-heat[tuple(found.T)], kind="stable")[: peaks.most]
    return found[order]


def _highest(heat: Floats, axis: int, window: int) -> Floats:
    """The maximum of so many cells around each, along one axis."""
    margin = [(window // 2, window // 2) if i == axis else (0, 0) for i in range(3)]
    padded = np.pad(heat, margin, constant_values=-np.inf)
    return np.asarray(sliding_window_view(padded, window, axis).max(axis=-1))


def _checked(heads: Heads, things: int, peaks: Peaks) -> NDArray[Any]:
    """The class map."""
    classes = heads.classes if heads.classes.ndim == 2 else heads.classes.argmax(axis=0)
    maps = heads.centres.shape[0] if heads.centres.ndim == 3 else 0
    if maps not in (1, things) or heads.centres.shape[1:] != classes.shape:
        raise InvalidRequest(
            f"centres are (1, h, w) or ({things}, h, w) on the grid of the classes, "
            f"{classes.shape}; got {heads.centres.shape}"
        )
    if heads.offsets.shape != (2, *classes.shape):
        raise InvalidRequest(f"offsets are {(2, *classes.shape)}; got {heads.offsets.shape}")
    if peaks.window < 1 or peaks.window % 2 == 0:
        raise InvalidRequest(f"a window around a centre is of an odd size; got {peaks.window}")
    return classes


def _labels(
    classes: NDArray[Any], found: NDArray[np.intp], heads: Heads, things: Sequence[int]
) -> NDArray[np.int32]:
    """The number of every cell's centre, from 1; 0 where the cell belongs to none, (h, w)."""
    labels = np.zeros(classes.shape, np.int32)
    each = len(heads.centres) > 1
    for place, wanted in enumerate([[thing] for thing in things] if each else [things]):
        own = np.flatnonzero(found[:, 0] == place) if each else np.arange(len(found))
        cells = np.nonzero(np.isin(classes, list(wanted)))
        if len(own) and len(cells[0]):
            labels[cells] = own[_nearest(cells, found[own, 1:], heads.offsets)] + 1
    return labels


def _nearest(
    cells: tuple[NDArray[np.intp], ...], found: NDArray[np.intp], offsets: Floats
) -> NDArray[np.intp]:
    """Of each cell, which centre is nearest to where it points; the first of those equally near."""
    pointed = np.stack(cells, axis=-1) + offsets[:, cells[0], cells[1]].T
    step = max(1, AT_ONCE // len(found))
    parts = (pointed[start : start + step] for start in range(0, len(pointed), step))
    nearest: NDArray[np.intp] = np.concatenate([_first_nearest(part, found) for part in parts])
    return nearest


def _first_nearest(pointed: Floats, found: NDArray[np.intp]) -> NDArray[np.intp]:
    squares: Floats = ((pointed[:, None] - found[None]) ** 2).sum(axis=2)
    nearest: NDArray[np.intp] = squares.argmin(axis=1)
    return nearest


def _votes(labels: NDArray[np.int32], classes: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The class that most cells of each label have; the lower one of a tie, (count)."""
    cells = labels > 0
    votes = np.zeros((count, int(classes.max(initial=0)) + 1), np.intp)
    np.add.at(votes, (labels[cells] - 1, classes[cells]), 1)
    most: NDArray[np.intp] = votes.argmax(axis=1)
    return most


def _sure(region: Region, confidence: Floats | None) -> float:
    return 1.0 if confidence is None else region.mean(confidence)
