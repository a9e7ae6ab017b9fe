"""What an evaluation found: plain values, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from anyres_exporter.evaluate.metrics import Counts, Scores
from anyres_exporter.evaluate.residuals import Residuals

Task: TypeAlias = Literal["segmentation", "classification", "regression"]


@dataclass(frozen=True)
class Coverage:
    """What was looked at, and what was not."""

    pictures: int = 0
    tiled: int = 0  # of them, how many went in tiles
    unlabelled: int = 0  # pictures without a label, skipped
    unused: int = 0  # labels without a picture
    compared: int = 0  # pixels, or pictures where there is one answer for each
    ignored: int = 0  # pixels that the labels say to ignore
    unanswered: int = 0  # labelled pixels outside what the network answers for
    seconds: float = 0.0

    def plus(self, *, tiled: bool, compared: int, ignored: int, unanswered: int) -> Coverage:
        """The same with one more picture."""
        return replace(
            self,
            pictures=self.pictures + 1,
            tiled=self.tiled + tiled,
            compared=self.compared + compared,
            ignored=self.ignored + ignored,
            unanswered=self.unanswered + unanswered,
        )


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Classes by pixel."""

    counts: Counts
    scores: Scores


@dataclass(frozen=True, eq=False)
class Classification:
    """Classes by picture; `top5` is None where there are not more than five classes."""

    counts: Counts
    scores: Scores
    top1: float
    top5: float | None


@dataclass(frozen=True)
class Regression:
    """Numbers, one set of errors a channel."""

    channels: tuple[Residuals, ...]


Result: TypeAlias = Segmentation | Classification | Regression


@dataclass(frozen=True, eq=False)
class Report:
    """The result, of which model, over what, and what a reader must know of it."""

    model: str
    task: Task
    names: tuple[str, ...]  # of classes or channels
    coverage: Coverage
    result: Result
    notes: tuple[str, ...] = ()


def as_json(report: Report) -> dict[str, Any]:
    """The same numbers, unrounded; null where a quotient has no denominator."""
    return {
        "model": report.model,
        "task": report.task,
        "coverage": vars(report.coverage),
        "notes": list(report.notes),
        **_RESULTS[type(report.result)](report.result, report.names),
    }


def _segmentation(result: Segmentation, names: tuple[str, ...]) -> dict[str, Any]:
    scores = result.scores
    return {
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
        "mean_iu": scores.mean_iu,
        "frequency_weighted_iu": scores.frequency_weighted_iu,
        **_by_class(scores, result.counts, names),
    }


def _classification(result: Classification, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "top1_accuracy": result.top1,
        "top5_accuracy": result.top5,
        "mean_accuracy": result.scores.mean_accuracy,
        **_by_class(result.scores, result.counts, names),
    }


def _by_class(scores: Scores, counts: Counts, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "classes": [
            {
                "name": name,
                "labelled": one.labelled,
                "predicted": one.predicted,
                "hits": one.hits,
                "accuracy": one.accuracy,
                "precision": one.precision,
                "iu": one.iu,
            }
            for name, one in zip(names, scores.classes, strict=True)
        ],
        "absent": [names[i] for i in scores.absent],
        "confusion": counts.tolist(),
    }


def _regression(result: Regression, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "channels": [
            {
                "name": name,
                "count": one.count,
                "mae": one.mae,
                "rmse": one.rmse,
                "r2": one.r2,
                "worst": one.worst and {**vars(one.worst), "error": one.worst.error},
            }
            for name, one in zip(names, result.channels, strict=True)
        ]
    }


_RESULTS: dict[type, Any] = {
    Segmentation: _segmentation,
    Classification: _classification,
    Regression: _regression,
}
