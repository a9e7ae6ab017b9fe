"""The network's outputs (channels, h, w) reduced to what was asked for, and results as files.

Each kind of result is one row of a table, one for scores and one for what the graph has reduced
already (`views` says which output tells what). All of them look at one cell at a time, so a tile's
results are those of the whole image, and the logits of a tiled image need never exist at once.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

from anyres_proto.card import Card, ClassName, Output
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array, Floats, OutputKind, Size
from anyres_server.reduction.views import TOP_K, views

PNG_EFFORT = 3  # 6, the default, takes ten times as long for a tenth less
GOLDEN_ANGLE = 0.381966  # of a full turn: neighbouring classes get colours far apart


@dataclass(frozen=True)
class Reduction:
    """What to make of a network's outputs, for one request."""

    card: Card
    kinds: tuple[OutputKind, ...]
    top_k: int

    def __post_init__(self) -> None:
        """Refuse what this network's outputs cannot give."""
        if len(set(self.kinds)) != len(self.kinds):
            raise InvalidRequest("each output kind can be asked for once")
        assert self.views, "whatever is asked for is told by an output"

    @cached_property
    def views(self) -> Mapping[OutputKind, Output]:
        """The output of the network that each map is made of."""
        return views(self.card, self.kinds, self.top_k)

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs to ask of the network."""
        used = list(self.views.values())
        return tuple(output for output in self.card.outputs if output in used)

    @property
    def maps(self) -> tuple[OutputKind, ...]:
        """The kinds that exist cell by cell; a PNG is made of a finished class map."""
        return tuple(self.views)

    def empty(self, grid: Size) -> dict[OutputKind, Array]:
        """Maps of a whole grid, to be filled tile by tile."""
        return {
            kind: np.empty((*_leading(kind, self), *grid), _dtype(kind, self)) for kind in self.maps
        }

    def result_bytes(self, grid: Size) -> int:
        """How large the maps of a grid are."""
        return prod(grid) * sum(
            prod(_leading(kind, self)) * np.dtype(_dtype(kind, self)).itemsize for kind in self.maps
        )

    def reduce(self, *planes: Array) -> dict[OutputKind, Array]:
        """The maps of the network's `outputs`, (channels, h, w) each."""
        given = dict(zip((output.name for output in self.outputs), planes, strict=True))
        with np.errstate(invalid="ignore"):  # a network may say inf or nan; then that is its answer
            return {
                kind: _reducer(kind, view)(given[view.name], view, self.top_k).astype(
                    _dtype(kind, self), copy=False
                )
                for kind, view in self.views.items()
            }

    def finish(self, maps: Mapping[OutputKind, Array]) -> dict[OutputKind, Array]:
        """What was asked for, in the order asked, from the maps of the whole grid."""
        return {
            kind: self._png(maps[OutputKind.CLASS_MAP])
            if kind is OutputKind.MASK_PNG
            else maps[kind]
            for kind in self.kinds
        }

    def _png(self, class_map: Array) -> Array:
        colours = palette(self.card.classes, self.views[OutputKind.CLASS_MAP].class_count)
        if len(colours) <= 256:
            image = Image.fromarray(class_map)
            image.putpalette(colours.tobytes())
        else:
            image = Image.fromarray(colours[class_map])
        file = BytesIO()
        image.save(file, "PNG", compress_level=PNG_EFFORT)
        return np.frombuffer(file.getbuffer(), np.uint8)


def palette(classes: Iterable[ClassName], count: int) -> Array:
    """A colour (r, g, b) for each of `count` classes: the card's, or one of its own."""
    given = [each.colour for each in classes]
    given += [None] * (count - len(given))
    colours = [colour or _own_colour(index) for index, colour in enumerate(given)]
    return np.array(colours, np.uint8)


def _own_colour(index: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN_ANGLE % 1, 0.6, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def _class_map(scores: Array, view: Output, top_k: int) -> Array:
    return np.asarray(scores.argmax(axis=0))


def _probabilities(scores: Array, view: Output, top_k: int) -> Array:
    """Softmax over the channels, shifted by their maximum so that nothing overflows."""
    if view.meaning == "probabilities":
        return scores
    raised: Floats = np.exp(scores - scores.max(axis=0))
    raised /= raised.sum(axis=0)
    return raised


def _confidence(scores: Array, view: Output, top_k: int) -> Array:
    """The highest probability; of a softmax, that is 1 / sum(exp(x - max))."""
    best = scores.max(axis=0)
    if view.meaning == "probabilities":
        return np.asarray(best)
    return np.asarray(1 / np.exp(scores - best).sum(axis=0))


def _top_k_classes(scores: Array, view: Output, top_k: int) -> Array:
    return np.argsort(-scores, axis=0, kind="stable")[:top_k]


def _top_k_scores(scores: Array, view: Output, top_k: int) -> Array:
    best = _top_k_classes(scores, view, top_k)
    return np.take_along_axis(_probabilities(scores, view, top_k), best, axis=0)


def _as_it_is(scores: Array, view: Output, top_k: int) -> Array:
    return scores


def _first(maps: Array, view: Output, top_k: int) -> Array:
    return np.asarray(maps[0])


def _first_k(maps: Array, view: Output, top_k: int) -> Array:
    return maps[:top_k]


Reducer: TypeAlias = Callable[[Array, Output, int], Array]

OF_SCORES: Mapping[OutputKind, Reducer] = {
    OutputKind.CLASS_MAP: _class_map,
    OutputKind.CONFIDENCE: _confidence,
    OutputKind.TOP_K_CLASSES: _top_k_classes,
    OutputKind.TOP_K_SCORES: _top_k_scores,
    OutputKind.PROBABILITIES: _probabilities,
    OutputKind.LOGITS: _as_it_is,
}
REDUCED_ALREADY: Mapping[OutputKind, Reducer] = {
    OutputKind.CLASS_MAP: _first,
    OutputKind.CONFIDENCE: _first,
    OutputKind.TOP_K_CLASSES: _first_k,
    OutputKind.TOP_K_SCORES: _first_k,
}


def _reducer(kind: OutputKind, view: Output) -> Reducer:
    of_scores = view.meaning in ("logits", "probabilities", "values")
    return (OF_SCORES if of_scores else REDUCED_ALREADY)[kind]


def _leading(kind: OutputKind, how: Reduction) -> tuple[int, ...]:
    """The axes before (h, w)."""
    if kind in TOP_K:
        return (how.top_k,)
    if kind in {OutputKind.PROBABILITIES, OutputKind.LOGITS}:
        return (how.views[kind].channels,)
    return ()


def _dtype(kind: OutputKind, how: Reduction) -> DTypeLike:
    if kind is OutputKind.CLASS_MAP:
        return np.uint8 if how.views[kind].class_count <= 256 else np.uint16
    return np.uint16 if kind is OutputKind.TOP_K_CLASSES else np.float32
