"""The model under test: its card, its graph as far as it can be analysed, and its session."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import UnsupportedGraph
from anyres_exporter.card.compose import Told, derived
from anyres_exporter.card.stamp import card_text
from anyres_exporter.evaluate.errors import CannotEvaluate
from anyres_exporter.evaluate.report import Task
from anyres_proto.card import Card

# What one channel must exceed to mean the second of two classes: a probability of one half.
THRESHOLDS = {"logits": 0.0, "probabilities": 0.5, "mask": 0.5}
_BINARY = ("background", "foreground")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model's file and what is known of it; `notes` are what a reader of numbers must know."""

    path: Path
    card: Card
    analysis: Analysis | None
    notes: tuple[str, ...]

    @property
    def binary(self) -> bool:
        """Whether one channel tells two classes apart, by a threshold."""
        return self.card.output.channels == 1 and self.card.output.meaning in THRESHOLDS

    @property
    def ranked(self) -> bool:
        """Whether the channels are the numbers of classes, the best first, and no scores."""
        return self.card.output.meaning in {"class_map", "top_k_classes"}

    def classes(self) -> tuple[str, ...]:
        """The names of the classes, or their numbers where the card has none.

        Raises:
            CannotEvaluate: the first output tells no classes, or not how many there are.
        """
        output, names = self.card.output, tuple(one.name for one in self.card.classes)
        if self.binary:
            return names if len(names) == 2 else _BINARY
        if not (self.ranked or output.meaning in {"logits", "probabilities"}):
            raise CannotEvaluate(
                f"the first output of '{self.card.name}' is {output.channels} channels of "
                f"{output.meaning}, which do not say which class is the best"
            )
        count = (output.classes or len(names)) if self.ranked else output.channels
        if not count:
            raise CannotEvaluate(
                f"'{self.card.name}' gives the numbers of classes, and its card does not say how "
                "many there are"
            )
        return names if len(names) == count else tuple(map(str, range(count)))

    def channels(self) -> tuple[str, ...]:
        """The names of the numbers that it predicts."""
        count, names = self.card.output.channels, tuple(one.name for one in self.card.classes)
        if len(names) == count:
            return names
        return ("value",) if count == 1 else tuple(f"value {i}" for i in range(count))

    def task(self) -> Task:
        """What the card says that it is for, or what its output is good for."""
        if self.card.task != "unknown":
            return self.card.task
        if self.card.output.meaning == "values":
            return "regression"
        return "segmentation" if self.card.output.dense else "classification"


def opened(path: Path) -> Subject:
    """Read a model's card and graph.

    Raises:
        AnalysisError: it is no model, or one without a card that cannot be analysed.
        CannotEvaluate: its card is of another version.
    """
    text = card_text(path)
    analysis, notes = _analysed(path, needed=text is None)
    if text is not None:
        card = _parsed(path, text)
    else:
        assert analysis is not None, "it was needed"
        card = derived(Told(name=_name(path)), analysis)
        notes += ("the file has no card; `anyres card stamp` writes one",)
    if "assumed" in card.provenance:
        assumed = card.provenance["assumed"]
        notes += (f"assumed, and the numbers are wrong if that is: {assumed}",)
    return Subject(path, card, analysis, notes)


def _analysed(path: Path, *, needed: bool) -> tuple[Analysis | None, tuple[str, ...]]:
    """The graph's analysis; a card does without where the analyzer does not read the graph."""
    try:
        return analyze(path), ()
    except UnsupportedGraph as error:
        if needed:
            raise
        return None, (f"memory is predicted by the card alone: {error}",)


def _parsed(path: Path, text: str) -> Card:
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise CannotEvaluate(
            f"the card in {path} is of another version of anyres ({where}: {first['msg']}); "
            "export the model again, or `anyres card stamp --force` it"
        ) from error


def _name(path: Path) -> str:
    """The file's name, as far as it is a name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("_.-") or "model"
