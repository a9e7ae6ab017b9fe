"""Pictures whose every pixel has a label: a class, or numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.evaluate.bench import Bench
from anyres_exporter.evaluate.errors import CannotEvaluate
from anyres_exporter.evaluate.labels import class_map, numbers
from anyres_exporter.evaluate.metrics import counted, scores
from anyres_exporter.evaluate.report import Coverage, Regression, Segmentation
from anyres_exporter.evaluate.residuals import Residuals, residuals
from anyres_exporter.evaluate.subject import THRESHOLDS, Subject

Labelled = Iterable[tuple[Path, Path]]


def segmentation(
    bench: Bench, labelled: Labelled, ignored: frozenset[int]
) -> tuple[Segmentation, Coverage]:
    """Count what each pixel's class was taken for.

    Args:
        bench: the model.
        labelled: pictures and their class maps.
        ignored: numbers in a label that are no class.

    Raises:
        ExportError: a picture, a label or the model's answer cannot be used; the file is named.
    """
    names = bench.subject.classes()
    counts = np.zeros((len(names), len(names)), np.int64)
    coverage = Coverage()
    for path, label in labelled:
        picture = bench.picture(path)
        classes = class_map(label, picture.size, len(names), ignored)
        compared = 0
        for patch in bench.patches(picture):
            part = classes[_of(patch.rows), _of(patch.columns)]
            known = part >= 0
            found = predicted(patch.values, bench.subject)[known]
            if found.size and found.max() >= len(names):
                raise CannotEvaluate(
                    f"{path}: the model answers class {found.max()}; its card names {len(names)}"
                )
            counts += counted(part[known], found, len(names))
            compared += found.size
        known_pixels = int((classes >= 0).sum())
        coverage = coverage.plus(
            tiled=len(picture.tiles) > 1,
            compared=compared,
            ignored=classes.size - known_pixels,
            unanswered=known_pixels - compared,
        )
    if not coverage.compared:
        raise CannotEvaluate("no pixel of the labels has a class: all are to be ignored")
    return Segmentation(counts, scores(counts)), coverage


def predicted(values: NDArray[Any], subject: Subject) -> NDArray[Any]:
    """The class of each pixel (h, w), from scores or ranked classes (channels, h, w).

    Of several equal scores the first counts, as in numpy's and ONNX's argmax.
    """
    if subject.ranked:
        return np.asarray(values[0]).astype(np.int64)
    if subject.binary:
        return np.asarray(values[0] > THRESHOLDS[subject.card.output.meaning]).astype(np.int64)
    return np.asarray(values.argmax(axis=0))


def regression(
    bench: Bench, labelled: Labelled, ignored: frozenset[int], scale: float
) -> tuple[Regression, Coverage]:
    """Sum up how far the numbers of each pixel are off.

    Args:
        bench: the model.
        labelled: pictures and their maps of numbers.
        ignored: numbers in a label's file that mean that nothing is known.
        scale: what a label's numbers are multiplied by.

    Raises:
        ExportError: a picture, a label or the model's answer cannot be used; the file is named.
    """
    channels = len(bench.subject.channels())
    sums = [Residuals()] * channels
    coverage = Coverage()
    for path, label in labelled:
        picture = bench.picture(path)
        values = numbers(label, picture.size, channels, scale, ignored)
        answered = np.zeros(picture.size, bool)
        for patch in bench.patches(picture):
            rows, columns = _of(patch.rows), _of(patch.columns)
            corner = patch.columns.start, patch.rows.start
            answered[rows, columns] = True
            sums = [
                one.merged(residuals(true, found.astype(np.float64), path.name, corner))
                for one, true, found in zip(
                    sums, values[:, rows, columns], patch.values, strict=True
                )
            ]
        known = np.isfinite(values).any(axis=0)
        coverage = coverage.plus(
            tiled=len(picture.tiles) > 1,
            compared=int((known & answered).sum()),
            ignored=int((~known).sum()),
            unanswered=int((known & ~answered).sum()),
        )
    if not all(one.count for one in sums):
        raise CannotEvaluate("the labels hold no number that can be compared")
    return Regression(tuple(sums)), coverage


def _of(pixels: range) -> slice:
    return slice(pixels.start, pixels.stop)
