"""The network's output (channels, h, w) reduced to what was asked for, and results as files.

Each kind of result is one row of `REDUCERS`. All of them look at one cell at a time, so a tile's
results are those of the whole image, and the logits of a tiled image need never exist at once.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

from anyres_proto.card import Card, ClassName
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array, Floats, OutputKind, Size

PNG_EFFORT = 3  # 6, the default, takes ten times as long for a tenth less
GOLDEN_ANGLE = 0.381966  # of a full turn: neighbouring classes get colours far apart


@dataclass(frozen=True)
class Reduction:
    """What to make of a network's output, for one request."""

    card: Card
    kinds: tuple[OutputKind, ...]
    top_k: int

    def __post_init__(self) -> None:
        """Refuse what this network's output cannot give."""
        if len(set(self.kinds)) != len(self.kinds):
            raise InvalidRequest("each output kind can be asked for once")
        output, of_classes = self.card.output, set(self.kinds) - {OutputKind.LOGITS}
        if of_classes and (output.meaning == "values" or output.channels == 1):
            what = "values" if output.meaning == "values" else "a single channel"
            raise InvalidRequest(
                f"model {self.card.name!r} gives {what}, not classes, so there is no "
                f"{min(kind.value for kind in of_classes)}; ask for LOGITS, its output as it is"
            )
        asks_top_k = of_classes & {OutputKind.TOP_K_CLASSES, OutputKind.TOP_K_SCORES}
        if asks_top_k and not 1 <= self.top_k <= output.channels:
            raise InvalidRequest(
                f"top_k must be 1 to {output.channels}, the model's classes; got {self.top_k}"
            )

    @property
    def maps(self) -> tuple[OutputKind, ...]:
        """The kinds that exist cell by cell; a PNG is made of a finished class map."""
        needed = (OutputKind.CLASS_MAP if k is OutputKind.MASK_PNG else k for k in self.kinds)
        return tuple(dict.fromkeys(needed))

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

    def reduce(self, output: Floats) -> dict[OutputKind, Array]:
        """The maps of one output (channels, h, w)."""
        with np.errstate(invalid="ignore"):  # a network may say inf or nan; then that is its answer
            return {
                kind: REDUCERS[kind](output, self).astype(_dtype(kind, self), copy=False)
                for kind in self.maps
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
        colours = palette(self.card.classes, self.card.output.channels)
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


def _class_map(output: Floats, how: Reduction) -> Array:
    return np.asarray(output.argmax(axis=0))


def _probabilities(output: Floats, how: Reduction) -> Array:
    """Softmax over the channels, shifted by their maximum so that nothing overflows."""
    if how.card.output.meaning == "probabilities":
        return output
    scores: Floats = np.exp(output - output.max(axis=0))
    scores /= scores.sum(axis=0)
    return scores


def _confidence(output: Floats, how: Reduction) -> Array:
    """The highest probability; of a softmax, that is 1 / sum(exp(x - max))."""
    best = output.max(axis=0)
    if how.card.output.meaning == "probabilities":
        return np.asarray(best)
    return np.asarray(1 / np.exp(output - best).sum(axis=0))


def _top_k_classes(output: Floats, how: Reduction) -> Array:
    return np.argsort(-output, axis=0, kind="stable")[: how.top_k]


def _top_k_scores(output: Floats, how: Reduction) -> Array:
    best = _top_k_classes(output, how)
    return np.take_along_axis(_probabilities(output, how), best, axis=0)


def _logits(output: Floats, how: Reduction) -> Array:
    return output


REDUCERS: dict[OutputKind, Callable[[Floats, Reduction], Array]] = {
    OutputKind.CLASS_MAP: _class_map,
    OutputKind.CONFIDENCE: _confidence,
    OutputKind.TOP_K_CLASSES: _top_k_classes,
    OutputKind.TOP_K_SCORES: _top_k_scores,
    OutputKind.PROBABILITIES: _probabilities,
    OutputKind.LOGITS: _logits,
}


def _leading(kind: OutputKind, how: Reduction) -> tuple[int, ...]:
    """The axes before (h, w)."""
    if kind in {OutputKind.TOP_K_CLASSES, OutputKind.TOP_K_SCORES}:
        return (how.top_k,)
    if kind in {OutputKind.PROBABILITIES, OutputKind.LOGITS}:
        return (how.card.output.channels,)
    return ()


def _dtype(kind: OutputKind, how: Reduction) -> DTypeLike:
    if kind is OutputKind.CLASS_MAP:
        return np.uint8 if how.card.output.channels <= 256 else np.uint16
    return np.uint16 if kind is OutputKind.TOP_K_CLASSES else np.float32
