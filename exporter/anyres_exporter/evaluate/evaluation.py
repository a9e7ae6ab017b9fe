"""Evaluation: a model, a folder of pictures and their labels become numbers.

    match pictures with labels -> decode one -> through the network, whole or in exact tiles
        -> compare at the labels' resolution -> add up -> next

Nothing is ever resized, and what was not compared is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from anyres_exporter.evaluate import by_picture, by_pixel, pairs
from anyres_exporter.evaluate.bench import Bench
from anyres_exporter.evaluate.errors import BadLabel
from anyres_exporter.evaluate.memory import SHARE, available_bytes
from anyres_exporter.evaluate.pairs import Pairs
from anyres_exporter.evaluate.report import Coverage, Report, Result, Task
from anyres_exporter.evaluate.route import AUTO, Router, Tiling
from anyres_exporter.evaluate.subject import Subject, opened
from anyres_exporter.pictures import pictures
from anyres_exporter.runtime import Runtime

Watch: TypeAlias = Callable[[int, int], None]  # of how many pictures are done, and of how many
Label = TypeVar("Label")

IGNORED = 255  # as in PASCAL VOC and Cityscapes, where the model does not know that many classes


@dataclass(frozen=True)
class Request:
    """What is asked of an evaluation.

    Args:
        images: folder of pictures.
        labels: folder of maps, or a CSV file; None where the pictures' folders are their classes.
        task: what to measure; the card's by default.
        tiling: when to cut pictures.
        ignored: numbers in maps that are no class, or no value; by default 255 where the model has
            no class of that number, and none for numbers.
        scale: what numbers in labels are multiplied by.
        limit: at most this many pictures.
        skip_unlabelled: leave out pictures without a label, and say how many, rather than refuse.
        budget_bytes: what one picture may take; by default a share of what is available.
    """

    images: Path
    labels: Path | None = None
    task: Task | None = None
    tiling: Tiling = AUTO
    ignored: frozenset[int] | None = None
    scale: float = 1.0
    limit: int | None = None
    skip_unlabelled: bool = False
    budget_bytes: int | None = None


def evaluate(model: Path, request: Request, watch: Watch = lambda done, total: None) -> Report:
    """Measure how right a model is on labelled pictures.

    Args:
        model: an ONNX file.
        request: what to measure on.
        watch: called before the first picture and after each.

    Raises:
        AnalysisError: the model cannot be read.
        ExportError: the model, a picture or a label cannot be used; the file is named.
    """
    subject = opened(model)
    task = request.task or subject.task()
    run = _Run(subject, request, watch)
    started = time.monotonic()
    report = _TASKS[task](run)
    seconds = time.monotonic() - started
    return replace(report, coverage=replace(report.coverage, seconds=seconds))


@dataclass(frozen=True, eq=False)
class _Run:
    subject: Subject
    request: Request
    watch: Watch

    def bench(self) -> Bench:
        budget = self.request.budget_bytes or int(SHARE * available_bytes())
        subject, tiling = self.subject, self.request.tiling
        return Bench(
            subject,
            Runtime(subject.path),
            Router(subject.card, subject.analysis, tiling, budget),
        )

    def maps(self) -> Pairs[Path]:
        """Pictures and maps; both exist."""
        labels = self.request.labels
        if labels is None:
            raise BadLabel("--labels names the folder of the labels, one map for each picture")
        images = self.request.images
        return self._checked(pairs.maps(pictures(images), images, labels))

    def answers(self, *, of_classes: bool) -> Pairs[tuple[str, ...]]:
        """Pictures and what is said of each as a whole."""
        images, labels = self.request.images, self.request.labels
        if labels is not None and labels.is_file():
            return self._checked(pairs.rows(pictures(images), images, labels))
        if not of_classes or (labels is not None and labels.resolve() != images.resolve()):
            raise BadLabel(
                f"'{self.subject.card.name}' gives one answer for a picture: --labels is a CSV "
                "file, a row for each picture of its name and its label"
                + (", or left out where pictures lie in folders of classes" if of_classes else "")
            )
        return self._checked(pairs.folders(pictures(images), images))

    def watched(self, found: Pairs[Label]) -> Iterator[tuple[Path, Label]]:
        """The pairs, one by one; whoever watches is told."""
        for done, pair in enumerate(found.pairs):
            self.watch(done, len(found.pairs))
            yield pair
        self.watch(len(found.pairs), len(found.pairs))

    def report(
        self,
        task: Task,
        names: tuple[str, ...],
        found: Pairs[Label],
        result: tuple[Result, Coverage],
    ) -> Report:
        value, coverage = result
        counted = replace(coverage, unlabelled=len(found.unlabelled), unused=found.unused)
        return Report(self.subject.card.name, task, names, counted, value, self.subject.notes)

    def _checked(self, found: Pairs[Label]) -> Pairs[Label]:
        if found.unlabelled and not self.request.skip_unlabelled:
            more = len(found.unlabelled) - 1
            others = f" and {more} more have" if more else " has"
            raise BadLabel(
                f"{found.unlabelled[0]}{others} no label in {self.request.labels} "
                "(--skip-unlabelled leaves such pictures out)"
            )
        if not found.pairs:
            raise BadLabel(f"no picture in {self.request.images} has a label")
        return found.limited(self.request.limit)


def _segmentation(run: _Run) -> Report:
    found, names = run.maps(), run.subject.classes()
    usual = frozenset({IGNORED} if len(names) <= IGNORED else ())
    ignored = usual if run.request.ignored is None else run.request.ignored
    result = by_pixel.segmentation(run.bench(), run.watched(found), ignored)
    return run.report("segmentation", names, found, result)


def _classification(run: _Run) -> Report:
    found = run.answers(of_classes=True)
    result = by_picture.classification(run.bench(), run.watched(found))
    return run.report("classification", run.subject.classes(), found, result)


def _regression(run: _Run) -> Report:
    names, request = run.subject.channels(), run.request
    if not run.subject.card.output.dense:
        rows = run.answers(of_classes=False)
        numbers = by_picture.regression(run.bench(), run.watched(rows), request.scale)
        return run.report("regression", names, rows, numbers)
    found = run.maps()
    ignored = request.ignored or frozenset()
    result = by_pixel.regression(run.bench(), run.watched(found), ignored, request.scale)
    return run.report("regression", names, found, result)


_TASKS: dict[Task, Callable[[_Run], Report]] = {
    "segmentation": _segmentation,
    "classification": _classification,
    "regression": _regression,
}
