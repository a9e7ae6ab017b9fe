"""Scores (channels, h, w) to one map each, cell by cell, a band of rows at a time.

A band is small enough that its temporaries stay in the processor's cache: numpy's own way, over the
whole array and along its first axis, is two to eight times as slow.

Infinite scores are compared like any others. Where NaN takes part, or a softmax would have to be
made of infinities, there is no answer, and FloatingPointError is raised: NaN runs through maxima
and sums, so one look at what is left of the channels finds it, for less than a hundredth of the
time that those take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from anyres_proto.card import Output
from anyres_server.model import Array, Floats, OutputKind

BAND_BYTES = 2**20  # of scores


@dataclass(frozen=True)
class How:
    """What a request says about the kinds that it asks for."""

    top_k: int = 5
    threshold: float = 0.5
    threshold_class: int = 0


Reducer: TypeAlias = Callable[[Array, Output, How], Array]


def rows_at_once(planes: Array) -> int:
    """How many rows of some planes (channels, h, w) make a band."""
    row_bytes = max(1, planes[:, :1].nbytes)
    return max(1, BAND_BYTES // row_bytes)


def _class_map(scores: Array, view: Output, how: How) -> Array:
    """The lowest index of the highest score: one pass for the score, and one each for the index."""
    best = _numbers(scores.max(axis=0))
    found = np.zeros(best.shape, np.uint8 if len(scores) <= 256 else np.uint16)
    for index in range(len(scores) - 1, -1, -1):
        np.copyto(found, index, where=scores[index] == best)
    return found


def _probabilities(scores: Array, view: Output, how: How) -> Array:
    """Softmax over the channels, shifted by their maximum so that nothing overflows.

    What the network itself calls probabilities stays as it is.
    """
    if view.meaning == "probabilities":
        return scores
    raised: Floats = np.exp(scores - scores.max(axis=0))
    raised /= _numbers(raised.sum(axis=0))
    return raised


def _in_255ths(scores: Array, view: Output, how: How) -> Array:
    """Rounded to the nearest, halves to the even."""
    shares = (_probabilities(scores, view, how) * np.float32(255)).clip(0, 255)
    _numbers(shares.sum(axis=0))
    return np.asarray(np.rint(shares))


def _confidence(scores: Array, view: Output, how: How) -> Array:
    """The highest probability; of a softmax, that is 1 / sum(exp(x - max)).

    Of two classes the best one's term is exp(0), so there is one to raise: bit for bit the same.
    """
    best = scores.max(axis=0)
    if view.meaning == "probabilities":
        return _numbers(best)
    if len(scores) == 2:
        return _numbers(1 / (1 + np.exp((scores - best).min(axis=0))))
    return _numbers(1 / np.exp(scores - best).sum(axis=0))


def _reaches(scores: Array, view: Output, how: How) -> Array:
    """Whether a class is probable enough; values are compared as they are."""
    of_class = scores[how.threshold_class]
    if view.meaning == "logits" and len(scores) == 1:  # yes or no: its sigmoid
        of_class = 1 / (1 + np.exp(-of_class))
    elif view.meaning == "logits":
        best = scores.max(axis=0)
        of_class = np.exp(of_class - best) / np.exp(scores - best).sum(axis=0)
    return np.asarray(_numbers(of_class) >= np.float32(how.threshold))


def _top_k_classes(scores: Array, view: Output, how: How) -> Array:
    """The best, one after the other; where infinities take part, all are sorted."""
    left = scores.astype(np.float32)
    if not np.isfinite(left).all():
        _numbers(left.max(axis=0))
        return np.argsort(-scores, axis=0, kind="stable")[: how.top_k]
    found = np.empty((how.top_k, *scores.shape[1:]), np.uint16)
    for place in range(how.top_k):
        found[place] = _class_map(left, view, how)
        np.put_along_axis(left, found[place][None].astype(np.intp), -np.inf, axis=0)
    return found


def _top_k_scores(scores: Array, view: Output, how: How) -> Array:
    best = _top_k_classes(scores, view, how).astype(np.intp)
    return np.take_along_axis(_probabilities(scores, view, how), best, axis=0)


def _as_it_is(scores: Array, view: Output, how: How) -> Array:
    return scores


def _first(maps: Array, view: Output, how: How) -> Array:
    return _numbers(maps[0])


def _first_k(maps: Array, view: Output, how: How) -> Array:
    return _numbers(maps[: how.top_k])


def _numbers(values: Array) -> Array:
    """The same values.

    Raises:
        FloatingPointError: one of them is NaN.
    """
    if np.isnan(values.max()):
        raise FloatingPointError("NaN")
    return np.asarray(values)


OF_SCORES: Mapping[OutputKind, Reducer] = {
    OutputKind.CLASS_MAP: _class_map,
    OutputKind.CONFIDENCE: _confidence,
    OutputKind.TOP_K_CLASSES: _top_k_classes,
    OutputKind.TOP_K_SCORES: _top_k_scores,
    OutputKind.PROBABILITIES: _probabilities,
    OutputKind.PROBABILITIES_255: _in_255ths,
    OutputKind.THRESHOLD_MASK: _reaches,
    OutputKind.LOGITS: _as_it_is,
}
REDUCED_ALREADY: Mapping[OutputKind, Reducer] = {
    OutputKind.CLASS_MAP: _first,
    OutputKind.CONFIDENCE: _first,
    OutputKind.TOP_K_CLASSES: _first_k,
    OutputKind.TOP_K_SCORES: _first_k,
}


def reducer(kind: OutputKind, view: Output) -> Reducer:
    """What makes a kind of a view."""
    of_scores = view.meaning in ("logits", "probabilities", "values")
    return (OF_SCORES if of_scores else REDUCED_ALREADY)[kind]
