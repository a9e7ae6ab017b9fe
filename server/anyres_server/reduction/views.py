"""Which of a network's outputs tells what was asked for.

The first output is the one that is served. A graph may reduce its scores by itself, and keep them
as a further output: outputs of one `source` are views of one answer, and any of them may be asked.

    a view's meaning          tells
    logits, probabilities     everything about classes, and the scores as they are
    values                    the values as they are, and where they reach a threshold
    class_map, mask           the class map; a mask has the classes 0 and 1
    top_k_classes             the best classes, the first of them as the class map
    top_k_scores              their probabilities, the first of them as the confidence
    centres, offsets          nothing of classes: they are asked for by their names
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from anyres_proto.card import Card, Meaning, Output
from anyres_server.errors import InvalidRequest
from anyres_server.model import OutputKind
from anyres_server.reduction.scores import How

K = OutputKind
TOP_K = (K.TOP_K_CLASSES, K.TOP_K_SCORES)
_SCORES = frozenset(K) - {K.MASK_PNG}
TELLS: Mapping[Meaning, frozenset[OutputKind]] = {
    "logits": _SCORES,
    "probabilities": _SCORES,
    "values": frozenset({K.LOGITS, K.THRESHOLD_MASK}),
    "class_map": frozenset({K.CLASS_MAP}),
    "mask": frozenset({K.CLASS_MAP}),
    "top_k_classes": frozenset({K.TOP_K_CLASSES, K.CLASS_MAP}),
    "top_k_scores": frozenset({K.TOP_K_SCORES, K.CONFIDENCE}),
    "centres": frozenset(),
    "offsets": frozenset(),
}
_GIVES: Mapping[Meaning, str] = {
    "logits": "a single channel, not classes",
    "probabilities": "a single channel, not classes",
    "values": "values, not classes",
    "class_map": "a class map",
    "mask": "a mask",
    "top_k_classes": "the best classes",
    "top_k_scores": "the best probabilities",
    "centres": "centres of objects",
    "offsets": "offsets to centres",
}


def needed(kind: OutputKind) -> OutputKind:
    """What exists cell by cell: a PNG is made of a finished class map."""
    return K.CLASS_MAP if kind is K.MASK_PNG else kind


def views(card: Card, kinds: Sequence[OutputKind], how: How) -> dict[OutputKind, Output]:
    """The output for each kind; the same for all of them where there is one.

    Raises:
        InvalidRequest: none tells it.
    """
    _refuse_untold(card, kinds)
    able = {kind: _able(card, kind, how) for kind in dict.fromkeys(map(needed, kinds))}
    together = (view for view in card.views if all(view in found for found in able.values()))
    alone = next(together, None)
    return {kind: alone or found[0] for kind, found in able.items()}


def told(card: Card, kind: OutputKind) -> bool:
    """Whether one of the outputs tells it."""
    return any(needed(kind) in _tells(view) for view in card.views)


def _tells(view: Output) -> frozenset[OutputKind]:
    if view.meaning in ("logits", "probabilities") and view.channels == 1:
        return frozenset({K.LOGITS, K.THRESHOLD_MASK})
    if view.meaning == "mask" and view.channels > 1:
        return frozenset()
    return TELLS[view.meaning]


def _refuse_untold(card: Card, kinds: Sequence[OutputKind]) -> None:
    told = frozenset[OutputKind]().union(*map(_tells, card.views))
    untold = [kind.value for kind in kinds if needed(kind) not in told]
    if untold:
        raise InvalidRequest(
            f"model {card.name!r} gives {_GIVES[card.output.meaning]}, "
            f"so there is no {min(untold)}; {_advice(told)}"
        )


def _advice(told: frozenset[OutputKind]) -> str:
    if told == {K.LOGITS, K.THRESHOLD_MASK}:
        return "ask for LOGITS, its output as it is, or for THRESHOLD_MASK"
    names = ", ".join(kind.name for kind in OutputKind if needed(kind) in told)
    return f"ask for {names}" if names else "ask for its output by its name"


def _able(card: Card, kind: OutputKind, how: How) -> list[Output]:
    told, top_k = [view for view in card.views if kind in _tells(view)], how.top_k
    if kind is K.THRESHOLD_MASK:
        _check_threshold(told, how.threshold)
        return _having(told, how.threshold_class)
    if kind is K.LOGITS:
        return [view for view in told if view == card.scores]
    if kind not in TOP_K:
        return told
    able = [view for view in told if 1 <= top_k <= view.channels]
    if not able:
        most = max(told, key=lambda view: view.channels)
        kept = most.meaning.startswith("top_k")
        what = "as many as its graph keeps" if kept else "the model's classes"
        raise InvalidRequest(f"top_k must be 1 to {most.channels}, {what}; got {top_k}")
    return able


def _check_threshold(told: Sequence[Output], threshold: float) -> None:
    if any(view.meaning == "values" for view in told):
        if not isfinite(threshold):
            raise InvalidRequest(f"threshold must be a finite number; got {threshold:g}")
    elif not 0 <= threshold <= 1:
        raise InvalidRequest(f"threshold must be 0 to 1, a probability; got {threshold:g}")


def _having(told: Sequence[Output], channel: int) -> list[Output]:
    able = [view for view in told if 0 <= channel < view.channels]
    if not able:
        last = max(view.channels for view in told) - 1
        raise InvalidRequest(f"threshold_class must be 0 to {last}; got {channel}")
    return able
