"""The graph's own outputs, asked for by their names: maps on the grid of the one that is served.

They are given as they are, NaN included, channels first whatever their layout. What is no such map
has no place in an answer about an image of any size; the Open Inference Protocol has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from anyres_proto.card import Card, Output
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array, OutputKind, Size
from anyres_server.reduction.views import told

ELSEWHERE = "the Open Inference Protocol gives it as a tensor"


def named(card: Card, names: Sequence[str]) -> dict[str, Output]:
    """The outputs of these names.

    Raises:
        InvalidRequest: the model has none of a name, or it is no map on the served one's grid.
    """
    own = {output.name: output for output in card.outputs}
    for name, count in Counter(names).items():
        if name not in own:
            raise InvalidRequest(f"model {card.name!r} has no output {name[:80]!r}; {_there(card)}")
        if count > 1:
            raise InvalidRequest(f"output {name!r} is asked for {count} times")
        _check_cells(own[name], card.output)
    return {name: own[name] for name in names}


def check_grid(output: Output, shape: tuple[int, ...], served: Output, grid: Size) -> None:
    """Refuse an output whose map has not a cell for each of the grid's.

    Args:
        output: it.
        shape: that it has for an image.
        served: the model's first output.
        grid: the height and width of that.
    """
    values = output.channels * prod(grid)
    if output.grid(shape) != grid or prod(shape[1:]) != values:
        raise InvalidRequest(
            f"output {output.name!r} has shape {list(shape)} for this image, which is no map on "
            f"the grid of {served.name!r}, {grid[1]}x{grid[0]} cells; {ELSEWHERE}"
        )


def planes(output: Array, source: Output) -> Array:
    """What an output says about one image, as (channels, h, w)."""
    if output.ndim < 2:
        return output.reshape(-1, 1, 1)
    if output.ndim == 2:
        return output[None]
    return output.transpose(2, 0, 1) if source.layout == "NHWC" else output


def _check_cells(output: Output, served: Output) -> None:
    """Cells of one size: then cell `i` of either belongs to the same pixels."""
    if output.dense != served.dense:
        what = "a map" if output.dense else "no map"
        raise InvalidRequest(
            f"output {output.name!r} is {what}, unlike {served.name!r}, which is served; "
            f"{ELSEWHERE}"
        )
    if output.dense and output.stride != served.stride:
        (height, width), (rows, columns) = output.stride, served.stride
        raise InvalidRequest(
            f"output {output.name!r} has a cell every {width}x{height} pixels, {served.name!r} "
            f"every {columns}x{rows}; {ELSEWHERE}"
        )


def _there(card: Card) -> str:
    names = ", ".join(repr(output.name) for output in card.outputs)
    made = ", ".join(kind.name for kind in OutputKind if told(card, kind))
    return f"there {'is' if len(card.outputs) == 1 else 'are'} {names}" + (
        f" and, by kind, {made}" if made else ""
    )
