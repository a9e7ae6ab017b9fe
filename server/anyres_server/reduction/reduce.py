"""The network's outputs (channels, h, w) reduced to what was asked for, and results as files.

Each kind of result is one row of a table, one for scores and one for what the graph has reduced
already (`views` says which output tells what); outputs that are asked for by their names stay as
they are. All of them look at one cell at a time, so a tile's
results are those of the whole image, and the logits of a tiled image need never exist at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from anyres_proto.card import Card, Output
from anyres_server.errors import InvalidRequest, NotANumber
from anyres_server.model import Array, Asked, OutputKind, Request, Size
from anyres_server.reduction.named import named
from anyres_server.reduction.png import palette, png
from anyres_server.reduction.scores import How, reducer, rows_at_once
from anyres_server.reduction.views import TOP_K, told, views

EVERY_CHANNEL = {OutputKind.PROBABILITIES, OutputKind.PROBABILITIES_255, OutputKind.LOGITS}
DTYPES: Mapping[OutputKind, DTypeLike] = {
    OutputKind.TOP_K_CLASSES: np.uint16,
    OutputKind.PROBABILITIES_255: np.uint8,
    OutputKind.THRESHOLD_MASK: np.uint8,
}


@dataclass(frozen=True)
class Reduction:
    """What to make of a network's outputs, for one request."""

    card: Card
    kinds: tuple[OutputKind, ...]
    how: How = field(default_factory=How)
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, card: Card, request: Request) -> Reduction:
        """What a request asks of a model."""
        how = How(request.top_k, request.threshold, request.threshold_class)
        return cls(card, request.kinds, how, request.names)

    def __post_init__(self) -> None:
        """Refuse what this network's outputs cannot give."""
        if len(set(self.kinds)) != len(self.kinds):
            raise InvalidRequest("each output kind can be asked for once")
        assert self.maps, "whatever is asked for is told by an output"

    @cached_property
    def views(self) -> Mapping[OutputKind, Output]:
        """The output of the network that each map is made of."""
        return views(self.card, self.kinds, self.how)

    @cached_property
    def named(self) -> Mapping[str, Output]:
        """The outputs that are wanted as they are."""
        return named(self.card, self.names)

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs to ask of the network."""
        used = [*self.views.values(), *self.named.values()]
        return tuple(output for output in self.card.outputs if output in used)

    @property
    def asked(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(output.name for output in self.outputs)

    @property
    def maps(self) -> tuple[Asked, ...]:
        """What exists cell by cell; a PNG is made of a finished class map."""
        return (*self.views, *self.named)

    def empty(self, grid: Size) -> dict[Asked, Array]:
        """Maps of a whole grid, to be filled tile by tile."""
        return {
            each: np.empty((*_leading(each, self), *grid), _dtype(each, self)) for each in self.maps
        }

    def result_bytes(self, grid: Size) -> int:
        """How large the maps of a grid are."""
        return prod(grid) * sum(
            prod(_leading(each, self)) * np.dtype(_dtype(each, self)).itemsize for each in self.maps
        )

    def reduce(self, *planes: Array) -> dict[Asked, Array]:
        """The maps of the network's `outputs`, (channels, h, w) each.

        Raises:
            NotANumber: one of them holds NaN where it decides. LOGITS, and outputs that are named,
                are given as they are.
        """
        given = dict(zip((output.name for output in self.outputs), planes, strict=True))
        maps: dict[Asked, Array] = {name: given[name] for name in self.named}
        for kind, view in self.views.items():
            maps[kind] = self._made(kind, given[view.name])
        return maps

    def _made(self, kind: OutputKind, scores: Array) -> Array:
        if kind is OutputKind.LOGITS:
            return scores.astype(np.float32, copy=False)
        made: Array = np.empty((*_leading(kind, self), *scores.shape[1:]), _dtype(kind, self))
        try:
            self._fill(made, kind, scores)
        except FloatingPointError as error:
            raise self._not_a_number(kind, scores) from error
        return made

    def _fill(self, made: Array, kind: OutputKind, scores: Array) -> None:
        view = self.views[kind]
        make, step = reducer(kind, view), rows_at_once(scores)
        with np.errstate(invalid="ignore"):  # what comes of it is looked at
            for top in range(0, scores.shape[1], step):
                rows = slice(top, top + step)
                made[..., rows, :] = make(scores[:, rows], view, self.how)

    def _not_a_number(self, kind: OutputKind, scores: Array) -> NotANumber:
        odd = np.count_nonzero(~np.isfinite(scores).all(axis=0))
        shown = "; LOGITS shows them" if told(self.card, OutputKind.LOGITS) else ""
        return NotANumber(
            f"model {self.card.name!r} gives NaN or infinity in {odd} of {scores[0].size} cells of "
            f"its output {self.views[kind].name!r}, so there is no {kind.name}{shown}"
        )

    @property
    def encodes(self) -> bool:
        """Whether finishing takes time, because a file is made."""
        return OutputKind.MASK_PNG in self.kinds

    def finish(self, maps: Mapping[Asked, Array]) -> dict[Asked, Array]:
        """What was asked for, in the order asked, from the maps of the whole grid."""
        asked: tuple[Asked, ...] = (*self.kinds, *self.names)
        return {each: self._finished(each, maps) for each in asked}

    def _finished(self, asked: Asked, maps: Mapping[Asked, Array]) -> Array:
        if asked is OutputKind.MASK_PNG:
            return self._png(maps[OutputKind.CLASS_MAP])
        return maps[asked]

    def _png(self, class_map: Array) -> Array:
        count = self.views[OutputKind.CLASS_MAP].class_count
        return png(class_map, palette(self.card.classes, count))


def _leading(kind: Asked, how: Reduction) -> tuple[int, ...]:
    """The axes before (h, w)."""
    if isinstance(kind, str):
        return (how.named[kind].channels,)
    if kind in TOP_K:
        return (how.how.top_k,)
    if kind in EVERY_CHANNEL:
        return (how.views[kind].channels,)
    return ()


def _dtype(kind: Asked, how: Reduction) -> DTypeLike:
    if isinstance(kind, str):
        return how.named[kind].dtype
    if kind is OutputKind.CLASS_MAP:
        return np.uint8 if how.views[kind].class_count <= 256 else np.uint16
    return DTYPES.get(kind, np.float32)
