"""The answers' way out: classes, probabilities and masks made of a network's scores.

A sigmoid rises with its logit, so it is the logit that is held against a threshold p, ln(p/(1-p)).
The k best are sorted as logarithms, which do not vanish where probabilities do, and made
probabilities again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import TypeAlias

import numpy as np

from anyres_exporter.rewrite.batteries.batteries import AnswerKind, Batteries, index_dtype
from anyres_exporter.rewrite.batteries.nodes import Nodes


@dataclass(frozen=True)
class Scores:
    """A network's scores, (n, channels) or (n, channels, h, w), and what is to be made of them.

    `answers` are the names of what is made; `probable` says that they are probabilities already.
    """

    name: str
    dtype: str
    channels: int
    probable: bool
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """One answer: its numpy type, and how many channels it has; none at all where that is None."""

    dtype: str
    channels: int | None


Answer: TypeAlias = Callable[[Nodes, Scores, Batteries], tuple[Made, ...]]


def _scores(new: Nodes, scores: Scores, batteries: Batteries) -> tuple[Made, ...]:
    return ()


def _softmax(new: Nodes, scores: Scores, batteries: Batteries) -> tuple[Made, ...]:
    new.make("Softmax", [scores.name], scores.answers[0], axis=1)
    return (Made(scores.dtype, scores.channels),)


def _sigmoid(new: Nodes, scores: Scores, batteries: Batteries) -> tuple[Made, ...]:
    new.make("Sigmoid", [scores.name], scores.answers[0])
    return (Made(scores.dtype, scores.channels),)


def _argmax(new: Nodes, scores: Scores, batteries: Batteries) -> tuple[Made, ...]:
    (name,) = scores.answers
    found = new.make("ArgMax", [scores.name], f"{name}.index", axis=1, keepdims=0)
    new.cast(found, name, index_dtype(scores.channels))
    return (Made(index_dtype(scores.channels), None),)


def _top_k(new: Nodes, scores: Scores, batteries: Batteries) -> tuple[Made, ...]:
    classes, confidences = scores.answers
    k = new.constant(f"{classes}.k", np.array([batteries.k]))
    if scores.probable:
        new.make("TopK", [scores.name, k], confidences, f"{classes}.index", axis=1)
    else:
        logarithms = new.make("LogSoftmax", [scores.name], f"{confidences}.logarithms", axis=1)
        best = f"{confidences}.best"
        new.make("TopK", [logarithms, k], best, f"{classes}.index", axis=1)
        new.make("Exp", [best], confidences)
    new.cast(f"{classes}.index", classes, index_dtype(scores.channels))
    return Made(index_dtype(scores.channels), batteries.k), Made(scores.dtype, batteries.k)


def _mask(new: Nodes, scores: Scores, batteries: Batteries) -> tuple[Made, ...]:
    (name,) = scores.answers
    p = batteries.threshold
    limit = np.array(p if scores.probable else log(p / (1 - p)), scores.dtype)
    above = new.make("Greater", [scores.name, new.constant(f"{name}.limit", limit)], f"{name}.bool")
    if scores.channels == 1:
        axes = new.constant(f"{name}.axes", np.array([1]))
        above = new.make("Squeeze", [above, axes], f"{name}.flat")
    new.cast(above, name, "uint8")
    return (Made("uint8", scores.channels if scores.channels > 1 else None),)


ANSWERS: Mapping[AnswerKind, Answer] = {
    "logits": _scores,
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "argmax": _argmax,
    "top_k": _top_k,
    "mask": _mask,
}
