"""How far a variant's answers are from fp32's, over pictures of any size.

Every output becomes what a client reads off it, by its meaning, and is compared so:

    logits, probabilities    the best class; of one channel, which side of 0 or 1/2 it is on
    class_map, mask          the class as it is
    top_k_classes            the first of them
    all other numbers        the same within `TOLERANCE` of fp32's spread over all the pictures

The mean IU is that of Long et al. (2015), section 5, with fp32's map in the place of the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_proto.card import Output

Array: TypeAlias = NDArray[Any]
Model: TypeAlias = Callable[[Array], Mapping[str, Array]]  # a Runtime is one

TOLERANCE = 0.02  # of the spread: five steps of 8 bits
_NUMBERS = {"values", "top_k_scores", "centres", "offsets"}
_MIDDLE = {"logits": 0.0, "probabilities": 0.5}
_CLASSES = {"class_map", "mask", "top_k_classes"}


@dataclass(frozen=True)
class Measured:
    """Of all outputs the worst, over all answers of all pictures; errors are those of scores.

    A variant that answers anything but finite numbers agrees nowhere.
    """

    agreement: float
    mean_iou: float | None
    max_abs_error: float
    mean_abs_error: float


def measured(
    fp32: Model, variant: Model, images: Iterable[Array], outputs: tuple[Output, ...]
) -> Measured:
    """Run both on every picture and compare them.

    Args:
        fp32: the model as it was.
        variant: the one in less precision.
        images: network inputs of any sizes; iterated twice where an output is numbers.
        outputs: what each output means.
    """
    spreads = dict(_spreads(fp32, images, outputs))
    tallies = [_Tally(output, spreads.get(output.name, 0.0)) for output in outputs]
    for image in images:
        expected, actual = fp32(image), variant(image)
        for tally in tallies:
            tally.add(expected[tally.output.name], actual[tally.output.name])
    found = [tally.result() for tally in tallies]
    ious = [each.mean_iou for each in found if each.mean_iou is not None]
    return Measured(
        agreement=min(each.agreement for each in found),
        mean_iou=min(ious, default=None),
        max_abs_error=max(each.max_abs_error for each in found),
        mean_abs_error=max(each.mean_abs_error for each in found),
    )


def classes_of(answer: Array, output: Output) -> Array | None:
    """The class of every cell, as whole numbers; None where the output is no classes."""
    meaning, axis = output.meaning, -1 if output.layout == "NHWC" else 1
    if meaning in _NUMBERS:
        return None
    if meaning == "top_k_classes":
        return np.asarray(answer.take(0, axis))
    if meaning in _CLASSES:
        return answer
    if output.layout == "NHW" or answer.shape[axis] == 1:
        return np.asarray(answer > _MIDDLE[meaning])
    return np.asarray(answer.argmax(axis))


def _spreads(
    fp32: Model, images: Iterable[Array], outputs: tuple[Output, ...]
) -> Iterator[tuple[str, float]]:
    """From fp32's smallest to its largest answer, of the outputs that are numbers."""
    names = [output.name for output in outputs if output.meaning in _NUMBERS]
    if not names:
        return
    extremes = [
        [(float(answers[name].min()), float(answers[name].max())) for name in names]
        for answers in map(fp32, images)
    ]
    for name, pairs in zip(names, zip(*extremes, strict=True), strict=True):
        lowest, highest = zip(*pairs, strict=True)
        yield name, max(highest) - min(lowest)


class _Tally:
    """The counts of one output, picture by picture."""

    def __init__(self, output: Output, spread: float) -> None:
        self.output = output
        self._tolerance = TOLERANCE * spread
        self._finite = True
        self._answers = self._same = self._values = 0
        self._worst = self._sum = 0.0
        self._shared, self._either = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, expected: Array, actual: Array) -> None:
        """One picture's answers."""
        self._finite &= bool(np.isfinite(actual).all())
        if not self._finite:
            return
        error = np.abs(expected.astype(np.float64) - actual)
        if self.output.meaning not in _CLASSES:
            self._worst = max(self._worst, float(error.max(initial=0.0)))
            self._sum += float(error.sum())
            self._values += error.size
        wanted, got = classes_of(expected, self.output), classes_of(actual, self.output)
        if wanted is None or got is None:
            self._count(error <= self._tolerance)
        else:
            self._count(wanted == got)
            self._overlap(wanted.astype(np.int64), got.astype(np.int64))

    def _count(self, same: Array) -> None:
        self._answers += same.size
        self._same += int(same.sum())

    def _overlap(self, wanted: Array, got: Array) -> None:
        """Cells of each class that both maps, or either, have it at."""
        counts = [np.bincount(cells.ravel()) for cells in (wanted[wanted == got], wanted, got)]
        classes = max(self._shared.size, *(count.size for count in counts))
        shared, mine, others = (np.pad(count, (0, classes - count.size)) for count in counts)
        self._shared = np.pad(self._shared, (0, classes - self._shared.size)) + shared
        self._either = (
            np.pad(self._either, (0, classes - self._either.size)) + mine + others - shared
        )

    def result(self) -> Measured:
        """What was counted."""
        if not self._finite:
            return Measured(0.0, None, np.inf, np.inf)
        there = self._either > 0
        mapped = self.output.dense and bool(there.any())
        return Measured(
            agreement=self._same / max(self._answers, 1),
            mean_iou=float((self._shared[there] / self._either[there]).mean()) if mapped else None,
            max_abs_error=self._worst,
            mean_abs_error=self._sum / max(self._values, 1),
        )
