"""The objects of a prediction: by their centres where the model has such heads, else what connects.

    the card says                          an object is
    centres, offsets, and what is a thing  the cells of a thing that point at one centre (`centres`)
    nothing of the kind                    a connected region of a class (`instances`)

Classes that are no things have no centres: their regions are objects only where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from anyres_client import centres
from anyres_client.centres import Heads, Peaks
from anyres_client.errors import InvalidRequest
from anyres_client.instances import Found, connected
from anyres_client.outputs import Outputs, requested
from anyres_proto.card import Card


@dataclass(frozen=True, eq=False)
class Seen:
    """What a prediction says of its objects.

    Args:
        card: the model's.
        outputs: the arrays that were asked for, on the grid.
        placed: makes of a map of the grid (h, w) one of the image's pixels, (height, width).
    """

    card: Card
    outputs: Outputs
    placed: Callable[[NDArray[Any]], NDArray[Any]]


def needs(card: Card) -> tuple[str, ...]:
    """The outputs to ask for where objects are to be told apart."""
    return ("classes", "confidence", *_heads(card))


def found(
    seen: Seen, wanted: Collection[int] | None, every: Collection[int], peaks: Peaks
) -> list[Found]:
    """The objects, in pixels of the image.

    Args:
        seen: what is known of them.
        wanted: the classes whose objects are meant; where None, those that are things if the card
            says so, and all if it knows of no centres.
        every: all classes.
        peaks: which maxima are centres.

    Raises:
        NotRequested: there is no class map.
        InvalidRequest: the model has centres, and nobody says of which classes.
    """
    classes = requested(seen.outputs, "classes", "classes")
    confidence = seen.outputs.get("confidence")
    sure = None if confidence is None else seen.placed(confidence)
    names = _heads(seen.card)
    if not names or not all(name in seen.outputs for name in names):
        return connected(seen.placed(classes), every if wanted is None else wanted, sure)
    things = _things(seen.card, wanted)
    heads = Heads(classes, *(seen.outputs[name] for name in names))
    grouped = centres.objects(
        heads, things=things, confidence=sure, peaks=peaks, placed=seen.placed
    )
    meant = set(things if wanted is None else wanted)
    rest = meant.difference(things)
    regions = connected(seen.placed(classes), rest, sure) if rest else []
    return [one for one in grouped if one[0].class_index in meant] + regions


def _heads(card: Card) -> tuple[str, ...]:
    """The names of the outputs that are centres and offsets; none where one of them is missing."""
    heads = card.meaning("centres"), card.meaning("offsets")
    return tuple(head.name for head in heads if head) if all(heads) else ()


def _things(card: Card, wanted: Collection[int] | None) -> Collection[int]:
    if card.things:
        return card.things
    if wanted is None:
        raise InvalidRequest(
            f"the card of {card.name} does not say which classes are things: name them, as in "
            f"instances(['car'])"
        )
    return sorted(wanted)
