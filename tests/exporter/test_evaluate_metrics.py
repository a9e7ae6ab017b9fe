"""The metrics against the paper's sums written out as loops, and residuals against numpy."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from anyres_exporter.evaluate.metrics import confusions, counted, scores
from anyres_exporter.evaluate.residuals import Residuals, residuals

CLASSES = 4
maps = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60
)


def n(pairs: list[tuple[int, int]], i: int, j: int) -> int:
    """Pixels of class i predicted to belong to class j, one by one."""
    found = 0
    for label, predicted in pairs:
        if label == i and predicted == j:
            found += 1
    return found


def textbook(pairs: list[tuple[int, int]]) -> tuple[float, float, float, float]:
    hits, total, accuracies, ius, weighted = 0, 0, [], [], 0.0
    for i in range(CLASSES):
        t = sum(n(pairs, i, j) for j in range(CLASSES))
        predicted = sum(n(pairs, j, i) for j in range(CLASSES))
        hits += n(pairs, i, i)
        total += t
        if t:
            accuracies.append(n(pairs, i, i) / t)
        if t + predicted - n(pairs, i, i):
            ius.append(n(pairs, i, i) / (t + predicted - n(pairs, i, i)))
            weighted += t * ius[-1]
    return (
        hits / total,
        sum(accuracies) / len(accuracies),
        sum(ius) / len(ius),
        weighted / total,
    )


def count(pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    labels, predicted = np.array(pairs).T
    return counted(labels, predicted, CLASSES)


@given(maps)
def test_the_four_metrics_are_the_paper_s(pairs: list[tuple[int, int]]) -> None:
    found = scores(count(pairs))
    assert (
        found.pixel_accuracy,
        found.mean_accuracy,
        found.mean_iu,
        found.frequency_weighted_iu,
    ) == pytest.approx(textbook(pairs))


@given(maps)
def test_a_count_has_a_row_for_each_label_and_a_column_for_each_prediction(
    pairs: list[tuple[int, int]],
) -> None:
    counts = count(pairs)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[n(pairs, i, j) for j in range(CLASSES)] for i in range(CLASSES)]


@given(maps)
def test_counts_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels, predicted = np.array(pairs).T
    theirs = metrics.confusion_matrix(labels, predicted, labels=range(CLASSES))
    assert (theirs == count(pairs)).all()


@given(maps)
def test_a_perfect_prediction_scores_one(pairs: list[tuple[int, int]]) -> None:
    found = scores(count([(label, label) for label, _ in pairs]))
    assert found.pixel_accuracy == found.mean_accuracy == found.mean_iu == 1.0
    assert found.frequency_weighted_iu == 1.0


def test_the_worked_example_of_the_docstring() -> None:
    found = scores(counted(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 3))
    assert found.pixel_accuracy == pytest.approx(3 / 4)
    assert found.mean_accuracy == pytest.approx(5 / 6)
    assert found.mean_iu == pytest.approx(7 / 12)
    assert found.frequency_weighted_iu == pytest.approx(5 / 8)


def test_an_absent_class_counts_in_mean_iu_only_where_it_was_predicted() -> None:
    unseen = scores(np.array([[8, 0, 0], [0, 2, 0], [0, 0, 0]]))
    invented = scores(np.array([[7, 0, 1], [0, 2, 0], [0, 0, 0]]))
    assert unseen.absent == invented.absent == (2,)
    assert unseen.mean_iu == 1.0
    assert (unseen.classes[2].accuracy, unseen.classes[2].iu) == (None, None)
    assert (invented.classes[2].accuracy, invented.classes[2].iu) == (None, 0.0)
    assert invented.mean_iu == pytest.approx((7 / 8 + 1 + 0) / 3)
    assert invented.mean_accuracy == pytest.approx((7 / 8 + 1) / 2)


def test_counts_beyond_32_bits_stay_exact() -> None:
    many = 2**53 + 1
    found = scores(np.array([[many, 0], [1, 0]], np.int64))
    assert found.classes[0].hits == many
    assert found.classes[0].predicted == many + 1


def test_nothing_counted_has_no_score() -> None:
    with pytest.raises(ValueError, match="nothing was counted"):
        scores(np.zeros((2, 2), np.int64))


def test_the_most_frequent_mistakes_come_first_and_hits_are_none() -> None:
    counts = np.array([[90, 3, 0], [5, 80, 0], [1, 0, 70]])
    assert confusions(counts, 2) == [(1, 0, 5), (0, 1, 3)]
    assert confusions(counts, 9) == [(1, 0, 5), (0, 1, 3), (2, 0, 1)]


numbers = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40)


def whole(pairs: list[tuple[float, float]], cuts: list[int]) -> Residuals:
    """Summed up in parts that are cut here."""
    found = Residuals()
    edges = [0, *sorted({cut % len(pairs) for cut in cuts}), len(pairs)]
    for start, stop in pairwise(edges):
        part: Any = np.array(pairs[start:stop]).reshape(-1, 2)
        found = found.merged(residuals(part[None, :, 0], part[None, :, 1], "a.png", (start, 0)))
    return found


@given(numbers, st.lists(st.integers(0, 1000), max_size=4))
def test_errors_summed_in_parts_are_those_of_the_whole(
    pairs: list[tuple[float, float]], cuts: list[int]
) -> None:
    labels, predicted = np.array(pairs).T
    errors = predicted - labels
    found = whole(pairs, cuts)
    assert found.count == len(pairs)
    assert found.mae == pytest.approx(np.abs(errors).mean())
    assert found.rmse == pytest.approx(sqrt((errors**2).mean()))
    assert found.worst is not None
    assert found.worst.error == np.abs(errors).max()
    assert found.worst.pixel is not None
    x, y = found.worst.pixel
    assert (y, abs(errors[x])) == (0, np.abs(errors).max())
    variance = ((labels - labels.mean()) ** 2).sum()
    assert found.spread == pytest.approx(variance, rel=1e-6, abs=1e-3)


def test_r_squared_is_one_less_the_unexplained_share() -> None:
    found = whole([(1.0, 1.0), (2.0, 2.5), (3.0, 2.5), (4.0, 4.0)], [2])
    assert found.r2 == pytest.approx(1 - 0.5 / 5)


def test_r_squared_survives_values_that_are_large_and_alike() -> None:
    found = whole([(1e9 + k, 1e9 + k + 0.5) for k in range(4)], [1, 3])
    assert found.r2 == pytest.approx(1 - 1 / 5)


def test_r_squared_of_equal_labels_is_undefined() -> None:
    assert whole([(2.0, 1.0), (2.0, 3.0)], []).r2 is None


def test_what_is_no_number_is_not_counted() -> None:
    labels = np.array([[np.nan, 1.0, np.inf]])
    found = residuals(labels, np.array([[5.0, 3.0, 5.0]]), "a.png", (10, 20))
    assert (found.count, found.mae) == (1, 2.0)
    assert found.worst is not None
    assert found.worst.pixel == (11, 20)
    assert residuals(labels * np.nan, labels, "a.png", (0, 0)) == Residuals()
