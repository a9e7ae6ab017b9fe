"""Pictures that have one label as a whole: a class, or numbers.

A network whose answer is a map (a classifier made fully convolutional) is evaluated densely, as
Simonyan and Zisserman (2015, section 3.2) do it: its class scores are averaged over the map.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_exporter.evaluate.bench import Bench
from anyres_exporter.evaluate.errors import BadLabel, CannotEvaluate
from anyres_exporter.evaluate.metrics import scores
from anyres_exporter.evaluate.report import Classification, Coverage, Regression
from anyres_exporter.evaluate.residuals import Residuals, residuals, without_pixel
from anyres_exporter.evaluate.subject import THRESHOLDS, Subject

Labelled = Iterable[tuple[Path, tuple[str, ...]]]
TOP = 5


def classification(bench: Bench, labelled: Labelled) -> tuple[Classification, Coverage]:
    """Count how often the right class comes first, and among the first five.

    Args:
        bench: the model.
        labelled: pictures and their classes, by name or number.

    Raises:
        ExportError: a picture, a label or the model's answer cannot be used; the file is named.
    """
    names = bench.subject.classes()
    counts = np.zeros((len(names), len(names)), np.int64)
    among = 0
    for path, label in labelled:
        true = class_number(path, label, names)
        ranked = ranking(bench.answer(bench.picture(path)), bench.subject)
        if not 0 <= ranked[0] < len(names):
            raise CannotEvaluate(
                f"{path}: the model answers class {ranked[0]}; its card names {len(names)}"
            )
        counts[true, ranked[0]] += 1
        among += true in ranked[:TOP]
    found = scores(counts)
    pictures = int(counts.sum())
    top5 = among / pictures if len(names) > TOP and _ranks(bench.subject) else None
    return (
        Classification(counts, found, found.pixel_accuracy, top5),
        Coverage(pictures, compared=pictures),
    )


def class_number(path: Path, label: tuple[str, ...], names: tuple[str, ...]) -> int:
    """The number of a class that is given by its name or number.

    Raises:
        BadLabel: there is no such class, or there are several of the name.
    """
    if len(label) != 1:
        raise BadLabel(f"{path}: expected one class, got {', '.join(label)}")
    named = [number for number, name in enumerate(names) if name == label[0]]
    if len(named) > 1:
        numbers = ", ".join(map(str, named))
        raise BadLabel(f"{path}: several classes are called {label[0]!r}; give a number: {numbers}")
    if named:
        return named[0]
    if label[0].isdecimal() and int(label[0]) < len(names):
        return int(label[0])
    raise BadLabel(
        f"{path}: the model knows no class {label[0]!r}; it knows 0 to {len(names) - 1}, as "
        + ", ".join(names[:TOP])
        + ", ..." * (len(names) > TOP)
    )


def ranking(found: NDArray[Any], subject: Subject) -> list[int]:
    """Classes from the most probable on; of equal ones the first comes first."""
    if subject.ranked:
        return [int(number) for number in found]
    if subject.binary:
        second = bool(found[0] > THRESHOLDS[subject.card.output.meaning])
        return [int(second), int(not second)]
    return [int(number) for number in np.argsort(-found, kind="stable")]


def regression(bench: Bench, labelled: Labelled, scale: float) -> tuple[Regression, Coverage]:
    """Sum up how far the numbers of each picture are off.

    Args:
        bench: the model.
        labelled: pictures and their numbers, as text.
        scale: what they are multiplied by.

    Raises:
        ExportError: a picture, a label or the model's answer cannot be used; the file is named.
    """
    channels = len(bench.subject.channels())
    sums = [Residuals()] * channels
    pictures = 0
    for path, label in labelled:
        true = _numbers(path, label, channels) * scale
        found = bench.answer(bench.picture(path)).astype(np.float64)
        parts = zip(true, found, strict=True)
        sums = [
            one.merged(
                without_pixel(residuals(value[None, None], answer[None, None], path.name, (0, 0)))
            )
            for one, (value, answer) in zip(sums, parts, strict=True)
        ]
        pictures += 1
    if not all(one.count for one in sums):
        raise CannotEvaluate("the labels hold no number that can be compared")
    return Regression(tuple(sums)), Coverage(pictures, compared=pictures)


def _ranks(subject: Subject) -> bool:
    """Whether the answer says what comes after the first class."""
    return not subject.ranked or subject.card.output.channels >= TOP


def _numbers(path: Path, label: tuple[str, ...], channels: int) -> NDArray[np.float64]:
    try:
        found = np.array([float(text) for text in label])
    except ValueError as error:
        raise BadLabel(f"{path}: its label is no number: {', '.join(label)}") from error
    if len(found) != channels:
        raise BadLabel(f"{path}: expected {channels} numbers, got {len(found)}")
    return found
