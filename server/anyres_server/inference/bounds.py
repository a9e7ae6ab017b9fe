"""What one request may hold in memory, and one message carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from anyres_proto.card import Output
from anyres_server.errors import InvalidRequest
from anyres_server.machine import mib
from anyres_server.model import Model, Size
from anyres_server.picture.image import Opened
from anyres_server.reduction.reduce import Reduction
from anyres_server.routing.router import largest_square
from anyres_server.schedule.admission import Budget


@dataclass(frozen=True)
class Bounds:
    """What one request may be."""

    image_pixels: int
    answer_bytes: int


def held_bytes(opened: Opened, model: Model, reduction: Reduction) -> int:
    """Pixels and, before the orientation is known, about as many results."""
    strides = model.card.output.stride
    grid = [ceil(side / step) for side, step in zip(opened.size, strides, strict=True)]
    return opened.held_bytes + reduction.result_bytes((grid[0], grid[1]))


def too_much(pictures: Budget, model: Model, size: Size, held: int) -> str:
    """Why a picture that would hold more than there is is refused, and what to do."""
    square = largest_square(
        model.card.sizes, min(size), pictures.total, lambda side: held * side**2 // prod(size)
    )
    fits = f"; the largest square that fits is about {square}x{square}" if square else ""
    return (
        f"{pictures.refusal(held)}{fits}; PredictTiles takes larger ones, strip by strip, where "
        "their format can be read so"
    )


def check_answer(reduction: Reduction, grid: Size, limit: int) -> None:
    """Refuse an answer that no message holds."""
    needed = reduction.result_bytes(grid)
    if needed > limit:
        raise InvalidRequest(
            f"an answer of {grid[1]}x{grid[0]} cells with {_words(reduction)} takes {mib(needed)}, "
            f"and one message holds {mib(limit)}; ask for less: a class map takes 1 byte a cell"
        )


def check_together(left: int, limit: int) -> None:
    """Refuse answers that no message holds together; `left` is what the message has room for."""
    if left < 0:
        raise InvalidRequest(
            f"the answers about all images take more than {mib(limit)}, as much as one message "
            f"holds; send fewer images a request, or ask for less"
        )


def check_outputs(shapes: Sequence[tuple[int, ...]], outputs: Sequence[Output], limit: int) -> None:
    """Refuse outputs that no message holds."""
    sizes = [np.dtype(output.dtype).itemsize for output in outputs]
    needed = sum(prod(shape) * size for shape, size in zip(shapes, sizes, strict=True))
    if needed > limit:
        shown = " and ".join(str(list(shape)) for shape in shapes)
        raise InvalidRequest(
            f"an output of shape {shown} takes {mib(needed)}, and one message holds "
            f"{mib(limit)}; send fewer or smaller images, or ask anyres.v1 for a class map"
        )


def _words(reduction: Reduction) -> str:
    outputs = (f"output {name!r}" for name in reduction.names)
    return ", ".join([*(kind.value for kind in reduction.kinds), *outputs])
