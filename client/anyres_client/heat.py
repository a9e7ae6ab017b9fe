"""How probable one class is in every cell, from whatever outputs a prediction holds.

In order of preference: probabilities; logits, whose softmax they are; the top k, where a class that
is not among a cell's k counts as 0 there; class map and confidence, which are the top 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_client.errors import NotRequested
from anyres_client.outputs import Outputs, requested

_EVERY = {"probabilities", "logits"}


def probability(outputs: Outputs, class_index: int) -> NDArray[np.float32]:
    """The probability of one class in every cell, (h, w)."""
    if not _EVERY.isdisjoint(outputs):
        cells: NDArray[np.float32] = every_class(outputs)[class_index]
        return cells
    classes, scores = _best_classes(outputs)
    found: NDArray[np.float32] = np.where(classes == class_index, scores, 0).sum(axis=0)
    return found.astype(np.float32)


def likeliest(outputs: Outputs) -> int:
    """The class with the highest mean over all cells: of its logit where there are logits, which is
    what a classifier that averages first would say, and of its probability where there are not.
    """
    if "logits" in outputs:
        return int(outputs["logits"].mean(axis=(1, 2)).argmax())
    if "probabilities" in outputs:
        return int(outputs["probabilities"].mean(axis=(1, 2)).argmax())
    classes, scores = _best_classes(outputs)
    return int(np.bincount(classes.ravel(), weights=scores.ravel()).argmax())


def every_class(outputs: Outputs) -> NDArray[np.float32]:
    """The probability of every class in every cell, (classes, h, w).

    Raises:
        NotRequested: there are neither probabilities nor logits.
    """
    if "probabilities" in outputs:
        return outputs["probabilities"]
    if "logits" not in outputs:
        return requested(outputs, "probabilities", "probabilities")
    grown = np.exp(outputs["logits"] - outputs["logits"].max(axis=0))
    softmax: NDArray[np.float32] = grown / grown.sum(axis=0)
    return softmax


def _best_classes(outputs: Outputs) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """The best classes and their probabilities, both (k, h, w)."""
    if "top_k_classes" in outputs:
        return outputs["top_k_classes"], outputs["top_k_scores"]
    if "classes" in outputs and "confidence" in outputs:
        return outputs["classes"][None], outputs["confidence"][None]
    raise NotRequested(
        "a heat map needs probabilities, and this prediction has none: "
        "ask for them with predict(..., output='probabilities')"
    )
