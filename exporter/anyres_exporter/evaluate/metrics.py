"""The four metrics of semantic segmentation, from counts of pixels.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation" (CVPR
2015), section 5, "Metrics". Let n_ij be the number of pixels of class i predicted to belong to
class j, n_cl the number of classes, and t_i = sum_j n_ij the pixels of class i. Then

    pixel accuracy           sum_i n_ii / sum_i t_i
    mean accuracy            (1 / n_cl) sum_i n_ii / t_i
    mean IU                  (1 / n_cl) sum_i n_ii / (t_i + sum_j n_ji - n_ii)
    frequency-weighted IU    (sum_k t_k)^-1 sum_i t_i n_ii / (t_i + sum_j n_ji - n_ii)

The paper does not say what 0 / 0 is. Here, as in the evaluation code that most tools descend from
(numpy's nanmean over the quotients), a quotient without a denominator is left out of its mean, and
n_cl counts those that are left: a class that no label names has no accuracy; if it was predicted
all the same its IU is 0, which counts, and if not it has no IU either.

Example: labels 0 0 0 1, predictions 0 0 1 1 of three classes give n_00 = 2, n_01 = 1, n_11 = 1:
pixel accuracy 3/4, mean accuracy (2/3 + 1) / 2 = 5/6, mean IU (2/3 + 1/2) / 2 = 7/12,
frequency-weighted IU (3 * 2/3 + 1 * 1/2) / 4 = 5/8. Class 2 has neither accuracy nor IU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]  # (n_cl, n_cl): row i, column j is n_ij


def counted(labels: NDArray[Any], found: NDArray[Any], classes: int) -> Counts:
    """How often each class was taken for each, (classes, classes); both of one shape, in range."""
    pairs = labels.ravel().astype(np.int64) * classes + found.ravel()
    return np.bincount(pairs, minlength=classes**2).astype(np.int64).reshape(classes, classes)


@dataclass(frozen=True)
class ClassScore:
    """One class: its pixels (or pictures) in the labels, in the predictions, and in both."""

    labelled: int
    predicted: int
    hits: int

    @property
    def accuracy(self) -> float | None:
        """n_ii / t_i, also called recall; None where no label names the class."""
        return _share(self.hits, self.labelled)

    @property
    def precision(self) -> float | None:
        """n_ii / sum_j n_ji; None where it was never predicted."""
        return _share(self.hits, self.predicted)

    @property
    def iu(self) -> float | None:
        """Intersection over union; None where the class is in neither."""
        return _share(self.hits, self.labelled + self.predicted - self.hits)


@dataclass(frozen=True)
class Scores:
    """The four metrics in 0..1, and each class by itself."""

    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    frequency_weighted_iu: float
    classes: tuple[ClassScore, ...]

    @property
    def absent(self) -> tuple[int, ...]:
        """The classes that no label names."""
        return tuple(i for i, one in enumerate(self.classes) if not one.labelled)


def scores(counts: Counts) -> Scores:
    """The metrics of a confusion matrix.

    Raises:
        ValueError: it counts nothing.
    """
    total = int(counts.sum())
    if not total:
        raise ValueError("nothing was counted")
    classes = tuple(
        ClassScore(*map(int, numbers))
        for numbers in zip(counts.sum(axis=1), counts.sum(axis=0), counts.diagonal(), strict=True)
    )
    weighted = sum(one.labelled * one.iu for one in classes if one.iu is not None)
    return Scores(
        pixel_accuracy=sum(one.hits for one in classes) / total,
        mean_accuracy=_mean(one.accuracy for one in classes),
        mean_iu=_mean(one.iu for one in classes),
        frequency_weighted_iu=weighted / total,
        classes=classes,
    )


def confusions(counts: Counts, most: int) -> list[tuple[int, int, int]]:
    """The mistakes made most often: (labelled as, predicted as, how often), at most this many."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(i), int(j), int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)
